//! A plan for people: what, from where and why, a line each.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::labels::check_label::CHECK_LABEL;
use super::labels::{ANNOTATION_FLAG, LABEL_FLAG};
use super::{Decided, DependencySource, Plan, ValueOrigin};

/// Width of the first column.
const NAMES: usize = 14;

/// The plan as text, with a line break at the end.
pub(crate) fn render(plan: &Plan) -> String {
    let mut text = String::new();
    if let Some(image) = &plan.image {
        line(&mut text, "image", image, "");
    }
    decided(&mut text, "builder", &plan.builder.value, &plan.builder);
    decided(&mut text, "python", &plan.python.value, &plan.python);
    let platforms: Vec<String> = plan
        .platforms
        .value
        .iter()
        .map(ToString::to_string)
        .collect();
    decided(
        &mut text,
        "platforms",
        &platforms.join(", "),
        &plan.platforms,
    );
    line(&mut text, "files", &plan.found.join(", "), "");
    let dependencies = match &plan.dependencies.value {
        DependencySource::None => "none",
        DependencySource::Requirements { path }
        | DependencySource::Pylock { path }
        | DependencySource::Converted { path, .. } => path,
    };
    decided(&mut text, "dependencies", dependencies, &plan.dependencies);
    packages(&mut text, plan);
    let pip = plan.pip.value.as_ref();
    let pip = pip.map_or("none", |wheel| wheel.version.as_str());
    decided(&mut text, "pip", pip, &plan.pip);
    running(&mut text, plan);
    let bytecode = plan.bytecode.value.to_string();
    decided(&mut text, "byte code", &bytecode, &plan.bytecode);
    start(&mut text, plan);
    environment(&mut text, plan);
    for (name, pairs) in [("labels", &plan.labels), ("annotations", &plan.annotations)] {
        list(&mut text, name, asked(pairs));
    }
    if let Some(check) = plan.labels.get(CHECK_LABEL) {
        decided(&mut text, "check", &check.value, check);
    }
    let ports: Vec<String> = plan
        .ports
        .value
        .iter()
        .map(|port| format!("{port}/tcp"))
        .collect();
    decided(&mut text, "ports", &ports.join(", "), &plan.ports);
    decided(&mut text, "user", &plan.user.value, &plan.user);
    decided(
        &mut text,
        "command",
        &plan.command.value.join(" "),
        &plan.command,
    );
    list(
        &mut text,
        "layers",
        plan.layers
            .iter()
            .map(|layer| (layer.to_string(), String::new())),
    );
    let advice = plan
        .advice
        .iter()
        .map(|one| (one.text.clone(), one.hint.clone()));
    list(&mut text, "note", advice);
    text
}

/// Debian packages besides the base's.
fn packages(text: &mut String, plan: &Plan) {
    let packages = plan.packages.image.iter().map(|one| match &*one.reason {
        "" => (one, String::new()),
        reason => (one, format!("; {reason}")),
    });
    let build = plan.packages.build.iter();
    let build = build.map(|one| (one, ", to build".to_owned()));
    // What every build with this builder has is the builder's to list.
    let of_project = packages
        .chain(build)
        .filter(|(one, _)| matches!(one.origin, ValueOrigin::File(_)))
        .map(|(one, what)| (one.value.clone(), format!("{}{what}", one.origin)));
    let implied = plan.packages.implied.foreseen.iter();
    let implied = implied.map(|one| (one.value.clone(), format!("{}; {}", one.origin, one.reason)));
    let of_project = of_project.chain(implied);
    list(text, "packages", of_project);
}

/// What starts, what was considered, and what that brings along.
fn start(text: &mut String, plan: &Plan) {
    let taken = plan.start.strategy.value.to_string();
    decided(text, "start", &taken, &plan.start.strategy);
    for candidate in &plan.start.candidates {
        let mark = match (candidate.taken, candidate.possible) {
            (true, _) => "*",
            (false, true) => "+",
            (false, false) => "-",
        };
        let way = format!("  {mark} {}", candidate.way);
        let why = match &candidate.place {
            Some(place) if !candidate.reason.contains(place.as_str()) => {
                format!("{place}, {}", candidate.reason)
            }
            _ => candidate.reason.clone(),
        };
        line(text, "", &way, &why);
    }
    if plan.start.differs {
        line(text, "", "S2I's images would not start this", "");
    }
    if let Some(arguments) = &plan.start.notes.supervise {
        let why = if arguments.ends_with(" restart") {
            "what ends is started again"
        } else {
            "the container ends with the first that ends"
        };
        match arguments.split(' ').next() {
            Some("-") | None => line(text, "", "kept running by supervise", why),
            Some(settings) => line(text, "", &format!("behind nginx as {settings} says"), why),
        }
    }
    if let Some(added) = &plan.start.added {
        decided(text, "adds", &added.value.requirement, added);
    }
    if let Some(processes) = &plan.start.notes.processes {
        let lines = processes.lines().filter_map(|line| line.split_once(' '));
        let lines = lines.map(|(name, command)| (name.to_owned(), command.to_owned()));
        list(text, "processes", lines);
    }
    if let Some(release) = &plan.start.release {
        decided(text, "release", &release.value, release);
    }
    if plan.start.migrates {
        line(text, "", "manage.py migrate runs before it", "");
    }
    if let Some(test) = &plan.test {
        decided(text, "test", &test.command.value, &test.command);
        let packages = test.packages.value.to_string();
        decided(text, "", &format!("  with {packages}"), &test.packages);
    }
}

/// What runs in the sandbox, a line each.
fn running(text: &mut String, plan: &Plan) {
    let running = &plan.running;
    for (what, decided_on) in [
        ("the project's own assemble script", &running.assemble),
        ("install of the project itself", &running.install),
    ] {
        if decided_on.value {
            decided(text, "runs", what, decided_on);
        }
    }
    for command in &running.commands {
        decided(text, "runs", &command.value.command, command);
    }
    if running.collectstatic.value {
        decided(text, "runs", "collectstatic", &running.collectstatic);
    }
}

/// Those that flags ask for; `--json` has them all.
fn asked(pairs: &BTreeMap<String, Decided<String>>) -> impl Iterator<Item = (String, String)> {
    let flags = [LABEL_FLAG, ANNOTATION_FLAG];
    let asked = pairs.iter().filter(
        move |(_, one)| matches!(one.origin, ValueOrigin::Flag { flag } if flags.contains(&flag)),
    );
    asked.map(|(key, one)| (format!("{key}={}", one.value), one.origin.to_string()))
}

/// Only what the user said: the rest is the builder's, and `--json` has it all.
fn environment(text: &mut String, plan: &Plan) {
    let own = plan.environment.settings().filter(|(_, setting)| {
        !matches!(
            setting.origin,
            ValueOrigin::Default | ValueOrigin::Builder { .. }
        )
    });
    let lines = own.map(|(name, setting)| {
        let place = if setting.in_image { "" } else { ", build only" };
        (
            format!("{name}={}", setting.shown()),
            format!("{}{place}", setting.origin),
        )
    });
    list(text, "environment", lines);
}

fn decided<T>(text: &mut String, name: &str, value: &str, decided: &Decided<T>) {
    let why = match (decided.origin.to_string(), decided.reason.as_str()) {
        (origin, "") => origin,
        (origin, reason) => format!("{origin}: {reason}"),
    };
    line(text, name, value, &why);
}

fn list(text: &mut String, name: &str, lines: impl Iterator<Item = (String, String)>) {
    let names = std::iter::once(name).chain(std::iter::repeat(""));
    for (name, (value, why)) in names.zip(lines) {
        line(text, name, &value, &why);
    }
}

fn line(text: &mut String, name: &str, value: &str, why: &str) {
    // Writing to a string cannot fail.
    let _ = match why {
        "" => writeln!(text, "{name:NAMES$}{value}"),
        why => writeln!(text, "{name:NAMES$}{value}  ({why})"),
    };
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    #[test]
    fn a_plan_reads_as_a_table() {
        let files = [
            ("requirements.txt", "flask\ngunicorn\n"),
            ("wsgi.py", ""),
            (".python-version", "3.11\n"),
        ];
        let plan = planned(&files, &["APP_CONFIG=conf.py"]).unwrap();
        assert_eq!(
            render(&plan),
            "\
builder       python-3.11  (.python-version:1: asks for 3.11; old: S2I's images have it no more)
python        3.11  (.python-version:1: asks for 3.11)
platforms     linux/amd64  (default: this machine's own)
files         requirements.txt, wsgi.py, .python-version
dependencies  requirements.txt  (requirements.txt)
pip           26.3  (builder python-3.11)
byte code     all  (default: containers start without compiling)
start         gunicorn wsgi  (wsgi.py: wsgi.py is there)
                - gunicorn as gunicorn.conf.py says  (there is no gunicorn.conf.py)
                - a script  (there is no app.sh)
                - a Python file  (there is no app.py)
                * gunicorn wsgi  (wsgi.py is there)
                - Django's development server  (there is no manage.py)
environment   APP_CONFIG=conf.py  (-e)
ports         8080/tcp  (builder python-3.11)
user          1001  (builder python-3.11)
command       /usr/libexec/s2i/run  (default)
layers        base: packages of Debian bookworm
              byte code: Python's standard library
              skeleton: virtual environment, users, scripts
              pip: 26.3, unless the dependencies bring another
              dependencies: wheels of requirements.txt, large ones alone
              source: the project's files
"
        );
    }
}
