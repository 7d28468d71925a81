//! A request with its files read: what is wished for, from which indexes, and what of that is not
//! followed.

use super::error::WheelError;
use super::links::WheelFolders;
use super::lock::WheelOverride;
use super::named::NamedIndexes;
use super::settings::IndexSettings;
use super::{RequirementsFile, ResolveInput, ResolveRequest, pinned, uv};
use crate::oci::{Key, KeyBuilder};
use crate::packages::python::RequirementKind;
use pep508_rs::VersionOrUrl;

use crate::packages::python::switches::{Treatment, VARIABLES, is_off, is_on};
use crate::packages::python::{
    LineError, PackageName, Position, Pylock, ReadAccess, ReadError, Requirement, RequirementSet,
    VersionSpecifiers, WheelTarget, expand_variables, line_of, parse, resolve_path,
};
use crate::report::{Event, Report};

/// A request with its files read.
pub(super) struct PreparedRequest<'a> {
    pub(super) request: ResolveRequest<'a>,
    pub(super) requirements: RequirementSet,
    pub(super) pylock: Option<(&'a str, Pylock)>,
    pub(super) indexes: IndexSettings,
    pub(super) links: WheelFolders,
}

impl<'a> PreparedRequest<'a> {
    pub(super) fn new(
        request: &ResolveRequest<'a>,
        report: &dyn Report,
    ) -> Result<Self, WheelError> {
        let mut requirements = RequirementSet::default();
        let mut pylock = None;
        match request.input {
            ResolveInput::Pylock(file) => {
                let wrong = |error| WheelError::Pylock {
                    path: file.path.to_owned(),
                    error,
                };
                let text = expanded(request, file)?;
                pylock = Some((file.path, Pylock::parse(&text).map_err(wrong)?));
            }
            ResolveInput::Requirements(files) => {
                requirements = read_requirements(request, files)?;
                put_in(&mut requirements.wishes, request.built);
            }
        }
        let named = match NamedIndexes::new(request.conditions, request.environment, request.given)
        {
            // A lock names its files itself: an index without its login is told of when it refuses.
            Err(_) if pylock.is_some() => NamedIndexes::default(),
            named => named?,
        };
        let indexes = IndexSettings::new(&requirements.options, request.environment)?.with_tool(
            named,
            &request.conditions.choosing,
            request.environment,
        )?;
        let links = WheelFolders::find(&indexes.folders, request);
        warn(report, &requirements, &indexes, &links);
        if pylock.is_none() {
            obey_switches(request, report)?;
        }
        Ok(Self {
            request: *request,
            requirements,
            pylock,
            indexes,
            links,
        })
    }

    /// Whether nothing has to be resolved.
    pub(super) fn is_exact(&self) -> bool {
        self.pylock.is_some()
            || (self.requirements.constraints.is_empty()
                && self.request.conditions.overrides.is_empty()
                && self
                    .wishes()
                    .is_ok_and(|wishes| wishes.iter().all(|wish| pinned::is_exact(wish))))
    }

    /// The wishes that hold for the target.
    pub(super) fn wishes(&self) -> Result<Vec<&Requirement>, WheelError> {
        applying(&self.requirements.wishes, self.request.target)
    }

    /// What is said of a project for the target: its wishes, and what bounds them.
    pub(super) fn of_name(&self, name: &PackageName) -> Result<Vec<&Requirement>, WheelError> {
        let mut found = self.wishes()?;
        found.extend(applying(
            &self.requirements.constraints,
            self.request.target,
        )?);
        found.retain(|wish| wish.name() == Some(name));
        Ok(found)
    }

    /// The ranges of versions that a project is held to.
    pub(super) fn bounds(&self, name: &PackageName) -> Result<Vec<&VersionSpecifiers>, WheelError> {
        let wishes = self.of_name(name)?.into_iter();
        Ok(wishes
            .filter_map(|wish| match &wish.named()?.version_or_url {
                Some(VersionOrUrl::VersionSpecifier(specifiers)) => Some(specifiers),
                _ => None,
            })
            .collect())
    }

    pub(super) fn key(&self) -> Key {
        let mut key = KeyBuilder::new("resolution/4");
        key.add(self.request.target.to_string().as_bytes());
        key.add(uv::VERSION.as_bytes());
        if let ResolveInput::Pylock(file) = self.request.input {
            key.add(file.text);
        }
        for list in [&self.requirements.wishes, &self.requirements.constraints] {
            key.add(&(list.len() as u64).to_le_bytes());
            for wish in list {
                key.add(wish.to_string().as_bytes());
                key.add(format!("{:?}", wish.hashes).as_bytes());
            }
        }
        for index in self.indexes.all().chain(&self.indexes.find_links) {
            key.add(index.as_str().as_bytes());
        }
        key.add(format!("{:?}", self.indexes.formats).as_bytes());
        key.add(format!("{:?}", self.indexes.named).as_bytes());
        key.add(format!("{:?}", self.indexes.taken).as_bytes());
        for text in &self.request.conditions.overrides {
            key.add(text.as_bytes());
        }
        key.add(&[
            u8::from(self.indexes.pre_releases),
            u8::from(self.indexes.default.is_none()),
        ]);
        key.finish()
    }
}

pub(super) fn applying<'a>(
    wishes: &'a [Requirement],
    target: &WheelTarget,
) -> Result<Vec<&'a Requirement>, WheelError> {
    let markers = target
        .markers()
        .map_err(|error| WheelError::Target(error.to_string()))?;
    Ok(wishes
        .iter()
        .filter(|wish| wish.applies(&markers))
        .collect())
}

/// A lock with values in for `${NAME}`, which s2r writes where an address holds a secret.
fn expanded(
    request: &ResolveRequest<'_>,
    file: RequirementsFile<'_>,
) -> Result<String, WheelError> {
    let text = String::from_utf8_lossy(file.text);
    expand_variables(&text, &|name| request.given.get(name).cloned()).map_err(|error| {
        let line = match &error {
            LineError::Variable(name) => line_of(&text, &format!("${{{name}}}")),
            _ => 0,
        };
        let position = Position {
            path: file.path.to_owned(),
            line,
        };
        WheelError::Requirements(ReadError { position, error })
    })
}

fn read_requirements(
    request: &ResolveRequest<'_>,
    files: &[RequirementsFile<'_>],
) -> Result<RequirementSet, WheelError> {
    let source = ReadAccess {
        read: request.read,
        variable: &|name| request.given.get(name).cloned(),
    };
    let mut all = RequirementSet::default();
    for file in files {
        all.merge(parse(file.path, file.text, &source)?);
    }
    for named in request
        .environment
        .get("PIP_CONSTRAINT")
        .map_or("", String::as_str)
        .split_whitespace()
    {
        let path = resolve_path("", named);
        let text = path.as_deref().and_then(request.read);
        let (Some(path), Some(text)) = (path, text) else {
            return Err(WheelError::Variable {
                name: "PIP_CONSTRAINT",
                path: crate::packages::python::shown(named),
            });
        };
        all.constrain(&path, &text, &source)?;
    }
    let options = &mut all.options;
    options.require_hashes |= ["PIP_REQUIRE_HASHES", "UV_REQUIRE_HASHES"]
        .iter()
        .any(|name| {
            request
                .environment
                .get(*name)
                .is_some_and(|value| is_on(value))
        });
    for text in &request.conditions.constraints {
        let file = request.conditions.file;
        let position = Position {
            line: (request.read)(file)
                .map_or(0, |bytes| line_of(&String::from_utf8_lossy(&bytes), text)),
            path: file.to_owned(),
        };
        let wish = Requirement::read(text, position.clone());
        all.constraints
            .push(wish.map_err(|error| ReadError { position, error })?);
    }
    Ok(all)
}

/// Stops at switches that are not followed and must not be passed over; tells of those that mean nothing here.
fn obey_switches(request: &ResolveRequest<'_>, report: &dyn Report) -> Result<(), WheelError> {
    for &(name, treatment) in VARIABLES {
        let value = request.environment.get(name).map_or("", String::as_str);
        // Trusted hosts are told of one by one.
        let is_said = match name {
            "PIP_CONFIG_FILE" => value == "/dev/null",
            "PIP_TRUSTED_HOST" => true,
            _ => false,
        };
        if is_off(value) || is_said {
            continue;
        }
        match treatment {
            Treatment::Followed | Treatment::Holds => {}
            Treatment::Told(why) => report.event(Event::Warning {
                text: format!("{name} has no effect"),
                hint: why.to_owned(),
            }),
            Treatment::Refused(why) => return Err(WheelError::Switch { name, why }),
        }
    }
    for file in ["pip.conf", "pip.ini"] {
        if (request.read)(file).is_some() {
            report.event(Event::Warning {
                text: format!("{file} is not read"),
                hint: "s2r reads no settings file of pip; write its options into requirements.txt or .s2i/environment".to_owned(),
            });
        }
    }
    Ok(())
}

fn warn(
    report: &dyn Report,
    requirements: &RequirementSet,
    indexes: &IndexSettings,
    links: &WheelFolders,
) {
    let say = |text: String, hint: &str| {
        report.event(Event::Warning {
            text,
            hint: hint.to_owned(),
        });
    };
    for position in &requirements.logins {
        say(
            format!("{position} holds a login; it goes into the image with the source"),
            "write ${NAME} in its place and pass it on with --pass-env NAME, or leave it out and use ~/.netrc or PIP_INDEX_URL",
        );
    }
    for link in &links.strangers {
        say(
            format!("{link} is not followed: it is no folder of the source"),
            "folders of this machine mean nothing to a build elsewhere; put the wheels into the source, or give an address",
        );
    }
    for link in &links.with_sources {
        say(
            format!("{link}: only its wheels are looked at"),
            "name source distributions one by one (`./wheels/x-1.0.tar.gz`)",
        );
    }
    for host in &indexes.trusted_hosts {
        say(
            format!("--trusted-host {host} is not followed: certificates are always checked"),
            "plain http needs no such option; for an authority of your own, name its certificate in SSL_CERT_FILE",
        );
    }
    for (position, option) in &requirements.ignored {
        say(
            format!("{position}: {option} has no effect"),
            "packages are built with their own settings",
        );
    }
}

/// Puts built wheels in the place of the wishes that they were built for.
pub(super) fn put_in(wishes: &mut Vec<Requirement>, built: &[WheelOverride]) {
    // What stands in for a line has another position, which metadata of what was built may name too.
    let lines: Vec<Position> = wishes.iter().map(|wish| wish.position.clone()).collect();
    for stand in built {
        let line = stand
            .instead_of
            .as_ref()
            .and_then(|position| lines.iter().position(|line| line == position));
        let (marker, extras) = match line.map(|at| &wishes[at]) {
            Some(wish) => (wish.marker().clone(), wish.extras()),
            None => (pep508_rs::MarkerTree::TRUE, stand.extras.as_slice()),
        };
        let wish = Requirement {
            position: Position::of_metadata(&stand.name),
            kind: RequirementKind::Named(pep508_rs::Requirement {
                name: stand.name.clone(),
                extras: extras.to_vec(),
                version_or_url: Some(VersionOrUrl::Url(stand.address())),
                marker,
                origin: None,
            }),
            hashes: Vec::new(),
        };
        match line {
            Some(at) => wishes[at] = wish,
            None => wishes.push(wish),
        }
    }
}
