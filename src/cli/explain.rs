//! How a failure looks: on a terminal or in a log, and for machines.

use super::text::bounded;
use crate::report::{ErrorClass, Explanation};

/// The four lines of a failure, for people.
pub(super) fn render(explanation: &Explanation) -> String {
    let whole = |text: &str| bounded(text.trim_end()).into_owned();
    let shown = Explanation {
        class: explanation.class,
        what: whole(&explanation.what),
        place: whole(&explanation.place),
        why: whole(&explanation.why),
        next: whole(&explanation.next),
    };
    shown.to_string()
}

/// The same for machines.
pub(super) fn json(explanation: &Explanation) -> serde_json::Value {
    serde_json::json!({
        "event": "error",
        "kind": match explanation.class {
            ErrorClass::CommandLine => "command-line",
            ErrorClass::Project => "project",
            ErrorClass::World => "world",
            ErrorClass::Ours => "s2r",
        },
        "exit": explanation.class.exit_code(),
        "what": bounded(&explanation.what),
        "where": bounded(&explanation.place),
        "why": bounded(&explanation.why),
        "next": bounded(&explanation.next),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_at_every_place() {
        let long = "x".repeat(15_000_000);
        let all = |what: &str, place: &str, why: &str, next: &str| Explanation {
            class: ErrorClass::Project,
            what: what.into(),
            place: place.into(),
            why: why.into(),
            next: next.into(),
        };
        for explanation in [
            all(&long, "", "", ""),
            all("", &long, "", ""),
            all("", "", &long, ""),
            all("", "", "", &long),
            all("", "", &"line\n".repeat(1_000_000), ""),
        ] {
            assert!(render(&explanation).len() < 5000);
            assert!(json(&explanation).to_string().len() < 5000);
        }
    }

    #[test]
    fn lines_stand_under_each_other_and_empty_ones_are_left_out() {
        let text = render(&Explanation {
            class: ErrorClass::Project,
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
