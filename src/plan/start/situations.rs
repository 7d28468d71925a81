//! The table of start situations (`situations.txt`): decisions, reasons, and what `scripts/run` starts.

use super::super::testing::planned;
use super::*;
use crate::report::Explain as _;

const TABLE: &str = include_str!("situations.txt");
/// Fewer would be a table that lost rows.
const FEWEST: usize = 80;

/// Texts that stand for many.
const TEXTS: [(&str, &str); 9] = [
    ("@flask", "from flask import Flask\napp = Flask(__name__)\n"),
    (
        "@flask-main",
        "from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run(host='0.0.0.0', port=8080)\n",
    ),
    (
        "@factory",
        "from flask import Flask\ndef create_app(config=None):\n    return Flask('x')\n",
    ),
    ("@fastapi", "from fastapi import FastAPI\napp = FastAPI()\n"),
    ("@application", "application = 1\n"),
    (
        "@manage",
        "import os\nos.environ.setdefault('DJANGO_SETTINGS_MODULE', 'mysite.settings')\nfrom django.core.management import execute_from_command_line\n",
    ),
    (
        "@settings",
        "WSGI_APPLICATION = 'mysite.wsgi.application'\n",
    ),
    (
        "@django-wsgi",
        "from django.core.wsgi import get_wsgi_application\napplication = get_wsgi_application()\n",
    ),
    (
        "@django-asgi",
        "from django.core.asgi import get_asgi_application\napplication = get_asgi_application()\n",
    ),
];
const STREAMLIT: &str = "import streamlit as st\nst.title('x')\n";

/// One situation, as the table has it.
#[derive(Debug, Default)]
pub(in crate::plan) struct Situation {
    pub title: String,
    pub files: Vec<(String, String)>,
    pub env: Vec<String>,
    /// The decision, and whether it is another than S2I's.
    decision: Option<(bool, String)>,
    refusal: Option<String>,
    reasons: Vec<String>,
    adds: Option<String>,
}

pub(in crate::plan) fn situations() -> Vec<Situation> {
    let mut all: Vec<Situation> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let Some(line) = line.strip_prefix("  ") else {
            if !line.is_empty() {
                let title = line.to_owned();
                all.push(Situation {
                    title,
                    ..Situation::default()
                });
            }
            continue;
        };
        let one = all.last_mut().unwrap();
        let (word, rest) = line.split_once(' ').unwrap();
        let rest = rest.to_owned();
        match word {
            "->" => one.decision = Some((false, rest)),
            "=>" => one.decision = Some((true, rest)),
            "!!" => one.refusal = Some(rest),
            "why" => one.reasons.push(rest),
            "adds" => one.adds = Some(rest),
            "$" => one.env.push(rest),
            _ => {
                let (path, text) = line.split_once(" =").unwrap();
                one.files
                    .push((path.to_owned(), text_of(path, text.trim_start())));
            }
        }
    }
    all
}

fn text_of(path: &str, text: &str) -> String {
    if path == "requirements.txt" {
        return text.replace(' ', "\n") + "\n";
    }
    let known = TEXTS.iter().find(|(name, _)| *name == text);
    match known {
        Some((_, known)) => (*known).to_owned(),
        None if text == "@streamlit" => STREAMLIT.to_owned(),
        None if text.is_empty() => String::new(),
        None => text.replace("\\n", "\n") + "\n",
    }
}

impl Situation {
    pub(in crate::plan) fn plan(&self) -> Result<crate::plan::Plan, PlanError> {
        let files: Vec<(&str, &str)> = self
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let env: Vec<&str> = self.env.iter().map(String::as_str).collect();
        planned(&files, &env)
    }
}

#[test]
fn each_situation_is_decided_as_the_table_says() {
    let all = situations();
    assert!(all.len() >= FEWEST, "{}", all.len());
    let mut wrong = Vec::new();
    for one in &all {
        if let Err(difference) = check(one) {
            wrong.push(format!("{}: {difference}", one.title));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(one: &Situation) -> Result<(), String> {
    let plan = match (one.plan(), &one.refusal) {
        (Ok(plan), None) => plan,
        (Err(error), Some(expected)) => {
            let explained = error.explain();
            let said = format!("{}: {}\n{}", explained.place, explained.next, explained.why);
            let is_said = expected.split(": ").all(|part| said.contains(part));
            return if is_said { Ok(()) } else { Err(said) };
        }
        (Ok(plan), Some(_)) => return Err(format!("started by {}", plan.start.strategy.value)),
        (Err(error), None) => return Err(format!("refused: {error:?}")),
    };
    let start = &plan.start;
    let decision = start.strategy.value.to_string();
    let (differs, expected) = one.decision.as_ref().ok_or("the table has no decision")?;
    if !decision.starts_with(expected) || start.differs != *differs {
        return Err(format!(
            "{decision} (differs: {}), not {expected}",
            start.differs
        ));
    }
    let added = start
        .added
        .as_ref()
        .map(|added| added.value.requirement.clone());
    if added != one.adds {
        return Err(format!("adds {added:?}"));
    }
    let said = crate::plan::render(&plan);
    let missing = one.reasons.iter().find(|reason| !said.contains(*reason));
    missing.map_or(Ok(()), |reason| Err(format!("no {reason:?} in\n{said}")))
}
