//! What s2r configures for servers: uWSGI's settings, and nginx in front of the application. The texts are notes of
//! the image (`/opt/app-root/etc/s2r`), unless the project has a file of that name of its own.

mod front;
pub(crate) mod nginx;
pub(crate) mod uwsgi;

pub(super) use front::FrontInputs;

/// Files of a project that go before what s2r would write.
pub(crate) const OWN_SETTINGS: [&str; 2] = [nginx::SETTINGS, uwsgi::SETTINGS];
/// The folder of what `run` reads in the image.
pub(crate) const NOTES_FOLDER: &str = "/opt/app-root/etc/s2r";
/// Where the application listens behind a front server. `scripts/supervise` says the same.
pub(crate) const SOCKET: &str = "/tmp/s2r/application.sock";

/// Where a server of the application listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    /// On `PORT`, for all.
    Port,
    /// On [`SOCKET`], for the front server.
    Socket,
}
