//! The project's tests upon a platform's finished layers, before the image gets its name.

use crate::context::build_context::Context;
use crate::context::stage_clock::StageClock;
use crate::oci::Architecture;
use crate::packages::python::WheelTarget;
use crate::packages::python::conditions::ResolutionRules;
use crate::plan::TestRun;
use crate::report::{BuildError, BuildStage, Event};
use crate::resolve::wheels::WheelLock;
use crate::source_builds::build_root::BuildRoot;
use crate::source_builds::image_tests::ImageTests;
use crate::source_builds::step_layers::{LowerLayers, StepOutcome};
use crate::wheel_resolution::resolver::WheelResolver;

/// What came of tests.
enum TestOutcome {
    /// With this many packages that the image does not have.
    Passed(usize),
    PassedBefore,
    Skipped,
    Foreign(Architecture),
}

impl Context<'_> {
    /// Tests a platform's image, if the project says how: layers, and what steps left above them.
    ///
    /// # Errors
    /// The tests fail, or cannot be run.
    pub(super) fn test(
        &self,
        (build_root, lock): (&BuildRoot<'_>, &WheelLock),
        (below, left): (LowerLayers<'_>, &StepOutcome),
        target: &dyn Fn() -> WheelTarget,
        stages: &StageClock<'_>,
    ) -> Result<(), BuildError> {
        let Some(test) = &self.plan.test else {
            return Ok(());
        };
        let work = || {
            if self.settings.running.skips_tests {
                return Ok(TestOutcome::Skipped);
            }
            if let Some(architecture) = build_root.foreign() {
                return Ok(TestOutcome::Foreign(architecture));
            }
            let mut layers = below.layers.to_vec();
            layers.extend(left.layer.clone());
            let tests = ImageTests {
                context: self,
                test,
                image: LowerLayers {
                    layers: &layers,
                    ..below
                },
            };
            if tests.have_passed()? {
                return Ok(TestOutcome::PassedBefore);
            }
            let wheels = self.test_wheels((build_root, lock), &target(), test)?;
            tests.run(&wheels)?;
            Ok(TestOutcome::Passed(wheels.packages.len()))
        };
        let describe = |outcome: &TestOutcome| match outcome {
            TestOutcome::Passed(0) => "passed".to_owned(),
            TestOutcome::Passed(count) => format!(
                "passed, with {count} packages of {} that the image does not get",
                test.packages.value
            ),
            TestOutcome::PassedBefore => "passed before, with the same layers".to_owned(),
            TestOutcome::Skipped => format!("not run (--no-test): {}", test.command.value),
            TestOutcome::Foreign(_) => "not run".to_owned(),
        };
        let outcome = stages.run(BuildStage::Test, work, describe)?;
        if let TestOutcome::Foreign(architecture) = outcome {
            self.report.event(Event::Warning {
                text: format!(
                    "{}: the image for linux/{} is not tested: this machine cannot run it",
                    test.command.origin,
                    architecture.name()
                ),
                hint: "build it on such a machine too".to_owned(),
            });
        }
        Ok(())
    }

    /// The wheels that only the tests need.
    fn test_wheels(
        &self,
        (build_root, lock): (&BuildRoot<'_>, &WheelLock),
        target: &WheelTarget,
        test: &TestRun,
    ) -> Result<WheelLock, BuildError> {
        let none = ResolutionRules::default();
        let exact = WheelResolver {
            context: self,
            build_root,
            target,
            conditions: &none,
            of_build: None,
        };
        let conditions = exact.find_conditions()?;
        WheelResolver {
            conditions: &conditions,
            ..exact
        }
        .test_wheels(&test.packages.value, lock)
    }
}
