//! How a failure looks: on a terminal or in a log, and for machines.

use crate::report::{Explanation, Fate};

/// The four lines of a failure, for people.
pub(super) fn render(explanation: &Explanation) -> String {
    // One line: words of others shall not look like another error.
    let mut text = format!("error: {}\n", explanation.what.replace('\n', " "));
    for (label, body) in [
        ("where", &explanation.place),
        ("why", &explanation.why),
        ("next", &explanation.next),
    ] {
        let mut lines = body.trim_end().lines();
        if let Some(first) = lines.next() {
            text.push_str(&format!("  {label:>5}: {first}\n"));
        }
        for line in lines {
            text.push_str(&format!("         {line}\n"));
        }
    }
    text
}

/// The same for machines.
pub(super) fn json(explanation: &Explanation) -> serde_json::Value {
    serde_json::json!({
        "event": "error",
        "kind": match explanation.fate {
            Fate::CommandLine => "command-line",
            Fate::Project => "project",
            Fate::World => "world",
            Fate::Ours => "s2r",
        },
        "exit": explanation.fate.exit_code(),
        "what": explanation.what,
        "where": explanation.place,
        "why": explanation.why,
        "next": explanation.next,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_under_each_other_and_empty_ones_are_left_out() {
        let text = render(&Explanation {
            fate: Fate::Project,
            what: "nothing to build".into(),
            place: "./src".into(),
            why: "one\ntwo".into(),
            next: String::new(),
        });
        assert_eq!(
            text,
            "error: nothing to build\n  where: ./src\n    why: one\n         two\n"
        );
    }
}
