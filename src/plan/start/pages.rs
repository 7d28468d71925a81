//! Pages that a program of their framework's shows, and plain `python` does not, or not on the port:
//! Streamlit, Panel, Chainlit, marimo, Gradio, Shiny.

use super::start_checks::{SourceView, StartCheck};
use super::{PlanError, StartError, StartStrategy};
use crate::packages::python::syntax::{ArgumentValue, ModuleSyntax, WebFramework};
use crate::plan::{Decided, ValueOrigin};
use crate::project::SourcePlace;

/// Where people keep the page that is shown first.
const PAGES: [&str; 7] = [
    "streamlit_app.py",
    "app.py",
    "main.py",
    "Home.py",
    "home.py",
    "Main.py",
    "server.py",
];
/// Most files of the root that are looked at where none is called as usual.
const MAX_FILES: usize = 20;

/// A program that shows pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Program {
    Streamlit,
    Panel,
    Chainlit,
    Marimo,
    Gradio,
    Shiny,
}

const PROGRAMS: [Program; 6] = [
    Program::Streamlit,
    Program::Panel,
    Program::Chainlit,
    Program::Marimo,
    Program::Gradio,
    Program::Shiny,
];

impl Program {
    /// Its distribution, and the module that a page imports.
    fn name(self) -> &'static str {
        match self {
            Self::Streamlit => "streamlit",
            Self::Panel => "panel",
            Self::Chainlit => "chainlit",
            Self::Marimo => "marimo",
            Self::Gradio => "gradio",
            Self::Shiny => "shiny",
        }
    }

    /// Whether a file is a page of it, by what it imports and calls.
    fn shows(self, module: &ModuleSyntax) -> bool {
        if !module.uses(self.name()) {
            return false;
        }
        match self {
            // `launch` listens where Gradio's variables say, unless its arguments do.
            Self::Gradio => module.servers.iter().any(|call| {
                call.function.ends_with(".launch")
                    && matches!(call.host, ArgumentValue::Variable { .. })
                    && matches!(call.port, ArgumentValue::Variable { .. })
            }),
            Self::Marimo => module
                .applications()
                .any(|(_, _, framework)| framework == WebFramework::Marimo),
            Self::Streamlit | Self::Panel | Self::Chainlit | Self::Shiny => {
                module.servers.is_empty()
            }
        }
    }

    fn command(self, path: &str) -> String {
        match self {
            Self::Streamlit => format!(
                "streamlit run '{path}' --server.port \"$PORT\" --server.address 0.0.0.0 --server.headless true"
            ),
            Self::Panel => format!(
                "panel serve '{path}' --address 0.0.0.0 --port \"$PORT\" --allow-websocket-origin '*'"
            ),
            Self::Chainlit => {
                format!("chainlit run '{path}' --host 0.0.0.0 --port \"$PORT\" --headless")
            }
            Self::Marimo => {
                format!("marimo run '{path}' --host 0.0.0.0 --port \"$PORT\" --headless")
            }
            Self::Shiny => format!("shiny run '{path}' --host 0.0.0.0 --port \"$PORT\""),
            Self::Gradio => format!(
                "env GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=\"$PORT\" python '{path}'"
            ),
        }
    }
}

impl SourceView<'_> {
    /// The page of the project.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn pages(&self) -> Result<Vec<StartCheck>, PlanError> {
        if !PROGRAMS.iter().any(|program| self.may_have(program.name())) {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for path in PAGES {
            found.extend(self.page(path)?);
        }
        if found.is_empty() {
            let root = self.path("").unwrap_or_default();
            let files = self.facts.files_in(&root, ".py");
            for path in files.iter().take(MAX_FILES) {
                found.extend(self.page(path)?);
            }
        } else {
            // The usual names are in the order in which they are meant.
            found.truncate(1);
        }
        Ok(match found.as_slice() {
            [] => Vec::new(),
            [one] => vec![StartCheck::Possible(one.clone())],
            [first, second, ..] => {
                let told =
                    |one: &Decided<StartStrategy>| (one.origin.to_string(), one.value.to_string());
                let (first, second) = (told(first), told(second));
                vec![StartCheck::Fatal(
                    StartError::SeveralPages { first, second }.into(),
                )]
            }
        })
    }

    /// How a file is shown, if it is a page.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn page(&self, path: &str) -> Result<Option<Decided<StartStrategy>>, PlanError> {
        let Some(module) = self.read(path)? else {
            return Ok(None);
        };
        let program = PROGRAMS
            .into_iter()
            .find(|program| self.may_have(program.name()) && program.shows(&module));
        Ok(program.map(|program| {
            let command = program.command(path);
            let place = self.in_source(path);
            let reason = format!("a page of {}", program.name());
            Decided::new(
                StartStrategy::server(command),
                ValueOrigin::File(SourcePlace::file(&place)),
                reason,
            )
        }))
    }
}
