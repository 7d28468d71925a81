//! uWSGI: which of its packages is taken, how it is started, and its settings.
//!
//! Options: uwsgi-docs.readthedocs.io/en/latest/Options.html.

use super::{Listener, NOTES_FOLDER, SOCKET};
use crate::plan::builder::{BaseDefinition, BuilderDefinition};

/// The project's own settings, and the name of the note that stands for them.
pub(crate) const SETTINGS: &str = "uwsgi.ini";
/// Debian's packages of it.
pub(crate) const DEBIAN_PACKAGES: [&str; 2] = ["uwsgi-core", "uwsgi-plugin-python3"];
/// Its distributions: the wheel, and the one that is built from source.
pub(crate) const DISTRIBUTIONS: [&str; 2] = ["pyuwsgi", "uwsgi"];
/// What the image's scripts have to end it with.
const STOP_SCRIPT: &str = "/usr/libexec/s2i/uwsgi_stop.py";
/// The suites that have it, with the Python that their plugin is linked to.
const SUITES: [(&str, &str); 2] = [("bookworm", "3.11"), ("trixie", "3.13")];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UwsgiSource {
    /// Debian, with a plugin for the builder's Python.
    Debian,
    /// A distribution of Python.
    Wheel,
}

impl UwsgiSource {
    /// What brings it where nothing says so: Debian, if its plugin is for the builder's Python.
    pub(crate) fn usual(definition: &BuilderDefinition) -> Self {
        let BaseDefinition::Debian(debian) = &definition.base else {
            return Self::Wheel;
        };
        let is_of =
            |(suite, python): &(&str, &str)| debian.suite == *suite && definition.python == *python;
        if SUITES.iter().any(is_of) {
            Self::Debian
        } else {
            Self::Wheel
        }
    }

    /// How it is started. Debian's loads the plugin that it is called after, and finds the virtual environment by
    /// this flag alone.
    pub(crate) fn command(self, has_own_settings: bool) -> String {
        let program = match self {
            Self::Debian => "uwsgi_python3 --virtualenv /opt/app-root",
            Self::Wheel => "uwsgi",
        };
        if has_own_settings {
            format!("{program} --ini {SETTINGS}")
        } else {
            format!("{program} --ini {NOTES_FOLDER}/{SETTINGS}")
        }
    }
}

/// The settings for an application, `module:name` or `module:name()`.
pub(crate) fn settings(called: &str, listener: Listener) -> String {
    const TEMPLATE: &str = include_str!("../../../scripts/uwsgi.ini");
    let listen = match listener {
        Listener::Port => "http-socket = 0.0.0.0:$(PORT)".to_owned(),
        Listener::Socket => format!(
            "uwsgi-socket = {SOCKET}\n# The front server logs requests.\ndisable-logging = true"
        ),
    };
    let stop = match listener {
        Listener::Port => format!(
            "# TERM lets requests come to their end, and those that wait for a worker.
die-on-term = true
import = {STOP_SCRIPT}
hook-master-start = unix_signal:15 uwsgi_route_signal
hook-master-start = unix_signal:12 gracefully_kill_them_all"
        ),
        // None waits when the front server has ended.
        Listener::Socket => "# TERM lets requests that are being answered come to their end.
die-on-term = true
hook-master-start = unix_signal:15 gracefully_kill_them_all"
            .to_owned(),
    };
    TEMPLATE
        .replace("@LISTEN@", &listen)
        .replace("@STOP@", &stop)
        .replace("@MODULE@", called)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_say_where_it_listens_and_what_it_serves() {
        let alone = settings("shop:create_app()", Listener::Port);
        let lines: Vec<&str> = alone.lines().collect();
        assert!(lines.contains(&"http-socket = 0.0.0.0:$(PORT)"), "{alone}");
        assert!(lines.contains(&"module = shop:create_app()"), "{alone}");
        let behind = settings("shop:app", Listener::Socket);
        assert!(behind.contains("uwsgi-socket = /tmp/s2r/application.sock"));
        assert!(alone.contains("\nimport = /usr/libexec/s2i/uwsgi_stop.py\n"));
        assert!(!behind.contains("uwsgi_stop.py"), "{behind}");
        assert!(!alone.contains("disable-logging") && !behind.contains("http-socket"));
        assert!(!alone.contains('@') && !behind.contains('@'));
    }
}
