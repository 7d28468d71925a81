//! What the project's settings choose: `processes: {web: ...}` and `server`. Flags and variables that say what
//! starts come first; the order of S2I's images, a `Procfile` and the code come behind.

use super::{AddedServer, CHOSEN, KnownServer, ServedBy};
use crate::packages::python::syntax::NameValue;
use crate::plan::service::uwsgi::{DISTRIBUTIONS, UwsgiSource};
use crate::plan::start::found::rank_of_made;
use crate::plan::start::start_checks::{SourceView, StartCheck};
use crate::plan::{Decided, PlanError, PlanWarning, StartError, StartStrategy, ValueOrigin};
use crate::project::SourcePlace;
use crate::project::settings::{ServerChoice, Setting};

impl SourceView<'_> {
    /// The way that the project's settings choose; none where they choose none, or where a variable says
    /// otherwise.
    ///
    /// # Errors
    /// The server does not serve what is there; nothing or too much is there to be served; a file cannot be read.
    pub(in crate::plan::start) fn chosen(
        &self,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<Option<StartCheck>, PlanError> {
        let settings = &self.facts.settings;
        let mut processes = settings.processes.iter();
        let web = processes.find(|one| one.name == "web");
        let Some(place) = web
            .map(|web| &web.place)
            .or_else(|| settings.server.as_ref().map(|server| &server.place))
        else {
            return Ok(None);
        };
        let is_file = |name: &&str| self.variables.is_on(name);
        // With a server, a module is what it serves.
        let is_module = web.is_some() && self.variables.is_flag("APP_MODULE");
        let outranked = ["APP_SCRIPT", "APP_FILE"].into_iter().find(is_file);
        if let Some(variable) = outranked.or_else(|| is_module.then_some("APP_MODULE")) {
            advice.push(PlanWarning::new(
                format!("{place}: not used, since {variable} says what starts"),
                format!("leave {variable} out, or delete the line"),
            ));
            return Ok(None);
        }
        if let Some(web) = web {
            if let Some(server) = &settings.server {
                advice.push(PlanWarning::new(
                    format!(
                        "{}: server is not used, since {place} says what starts",
                        server.place
                    ),
                    "delete one of the two lines",
                ));
            }
            let command = web.command.clone();
            let found = Decided::new(
                StartStrategy::Process { command },
                ValueOrigin::File(place.clone()),
                format!("{CHOSEN}: processes.web"),
            );
            return Ok(Some(StartCheck::Chosen(found, None)));
        }
        let Some(server) = &settings.server else {
            return Ok(None);
        };
        self.by_server(server).map(Some)
    }

    fn by_server(&self, choice: &Setting<ServerChoice>) -> Result<StartCheck, PlanError> {
        let server = KnownServer::from(choice.value);
        let place = &choice.place;
        let served = self.served_with(server, place)?;
        let is_known = served.framework.is_some() || served.callable.contains('.');
        if is_known && !server.serves(&served) {
            return Err(StartError::WrongServer {
                place: place.clone(),
                server: server.name(),
                what: format!("{} ({}, {})", served.called(), served.reason, served.origin),
                instead: served.usual().name(),
            }
            .into());
        }
        let strategy = if server == KnownServer::Gunicorn && self.facts.wsgi_app.is_some() {
            StartStrategy::GunicornConf
        } else {
            self.strategy(server, &served)
        };
        let reason = format!(
            "{CHOSEN}: server; it serves {} ({})",
            served.called(),
            served.origin
        );
        let found = Decided::new(strategy, ValueOrigin::File(place.clone()), reason);
        Ok(StartCheck::Chosen(found, self.added_for(server, place)))
    }

    /// The distribution to add for a server that is chosen and not among the dependencies.
    fn added_for(&self, server: KnownServer, place: &SourcePlace) -> Option<Decided<AddedServer>> {
        let is_there = match server {
            KnownServer::Uwsgi if self.uwsgi == UwsgiSource::Debian => true,
            server => self.has_server(server),
        };
        if is_there || self.assembles {
            return None;
        }
        let name = match server {
            KnownServer::Uwsgi => DISTRIBUTIONS[0],
            server => server.name(),
        };
        let added = AddedServer {
            name,
            requirement: name.to_owned(),
        };
        let origin = ValueOrigin::File(place.clone());
        let reason = format!("{place} chooses it, and it is not among the dependencies");
        Some(Decided::new(added, origin, reason))
    }

    /// The application for a server: what a variable or a setting names, else the one that the code makes.
    fn served_with(&self, server: KnownServer, place: &SourcePlace) -> Result<ServedBy, PlanError> {
        if let Some(text) = self.variables.get("APP_MODULE") {
            let origin = ValueOrigin::Environment {
                variable: "APP_MODULE".to_owned(),
            };
            let mut served = self.named(text, origin, "APP_MODULE names it")?;
            served.written = Some(text.to_owned());
            return Ok(served);
        }
        if let Some(served) = self.of_gunicorn_conf()? {
            return Ok(served);
        }
        let served = self.named_entry()?;
        let mut found: Vec<ServedBy> = served.into_iter().collect();
        if found.is_empty() {
            found = self.django_served()?;
            found.reverse();
        }
        if found.is_empty() {
            found = self.applications()?;
        }
        if found.is_empty() && self.is_file("wsgi.py") {
            let origin = ValueOrigin::File(SourcePlace::file("wsgi.py"));
            found.push(self.named("wsgi:application", origin, "wsgi.py is there")?);
        }
        let (mut fitting, others): (Vec<ServedBy>, Vec<ServedBy>) =
            found.into_iter().partition(|one| server.serves(one));
        if fitting.is_empty() {
            return others.into_iter().next().ok_or_else(|| {
                let (place, server) = (place.clone(), server.name());
                StartError::NothingToServe { place, server }.into()
            });
        }
        fitting.sort_by_key(rank_of_made);
        let mut fitting = fitting.into_iter();
        match (fitting.next(), fitting.next()) {
            (Some(first), Some(second)) if rank_of_made(&first) == rank_of_made(&second) => {
                Err(StartError::Several {
                    first: (first.origin.to_string(), first.called()),
                    second: (second.origin.to_string(), second.called()),
                }
                .into())
            }
            (Some(first), _) => Ok(first),
            (None, _) => {
                let (place, server) = (place.clone(), server.name());
                Err(StartError::NothingToServe { place, server }.into())
            }
        }
    }

    /// What gunicorn's own settings name, which another server serves as well.
    fn of_gunicorn_conf(&self) -> Result<Option<ServedBy>, PlanError> {
        const CONF: &str = "gunicorn.conf.py";
        let Some(module) = self.read(CONF)? else {
            return Ok(None);
        };
        let Some(bound) = module.names.get("wsgi_app") else {
            return Ok(None);
        };
        let NameValue::Text(text) = &bound.value else {
            return Ok(None);
        };
        let place = SourcePlace::line(&self.in_source(CONF), bound.line);
        let reason = "gunicorn.conf.py names it";
        self.named(text, ValueOrigin::File(place), reason).map(Some)
    }
}

impl From<ServerChoice> for KnownServer {
    fn from(choice: ServerChoice) -> Self {
        match choice {
            ServerChoice::Gunicorn => Self::Gunicorn,
            ServerChoice::Uvicorn => Self::Uvicorn,
            ServerChoice::Hypercorn => Self::Hypercorn,
            ServerChoice::Granian => Self::Granian,
            ServerChoice::Daphne => Self::Daphne,
            ServerChoice::Waitress => Self::Waitress,
            ServerChoice::Uwsgi => Self::Uwsgi,
        }
    }
}
