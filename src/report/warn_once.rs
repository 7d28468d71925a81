//! Warnings told once: work over the store is done again when a part of it was wrong, and finds again what it
//! has told before.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use super::{Event, Report};

/// Passes events on, but no warning twice.
pub(crate) struct WarnOnce<'a> {
    report: &'a dyn Report,
    told: Mutex<BTreeSet<(String, String)>>,
}

impl<'a> WarnOnce<'a> {
    pub(crate) fn new(report: &'a dyn Report) -> Self {
        Self {
            report,
            told: Mutex::default(),
        }
    }
}

impl Report for WarnOnce<'_> {
    fn event(&self, event: Event) {
        if let Event::Warning { text, hint } = &event {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if !told.insert((text.clone(), hint.clone())) {
                return;
            }
        }
        self.report.event(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<String>>);

    impl Report for Heard {
        fn event(&self, event: Event) {
            let text = match event {
                Event::Warning { text, hint } => format!("{text}{hint}"),
                _ => "other".to_owned(),
            };
            self.0.lock().unwrap().push(text);
        }
    }

    #[test]
    fn a_warning_is_told_once_and_all_else_as_often_as_it_comes() {
        let heard = Heard::default();
        let once = WarnOnce::new(&heard);
        for (text, hint) in [("a", ""), ("b", ""), ("a", "1"), ("a", "")] {
            once.event(Event::Warning {
                text: text.to_owned(),
                hint: hint.to_owned(),
            });
            once.event(Event::TransferFinished {
                id: crate::report::TransferId(1),
            });
        }
        let heard = heard.0.into_inner().unwrap();
        let warnings: Vec<&String> = heard.iter().filter(|text| *text != "other").collect();
        assert_eq!(warnings, ["a", "b", "a1"]);
        assert_eq!(heard.len(), 3 + 4);
    }
}
