//! The label by which an image remembers when it counts as one that answers, so that it can be checked without its source.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::project::settings::CheckSettings;

pub(crate) const CHECK_LABEL: &str = "io.s2r.check";

/// Its value, a JSON object of which each member may be left out.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct LabelText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    within_milliseconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
}

/// What the label says; empty if there is nothing to say.
pub(super) fn write(settings: &CheckSettings) -> String {
    let milliseconds = |within: Duration| u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
    let text = LabelText {
        path: settings.path.clone(),
        status: settings.status,
        within_milliseconds: settings.within.map(milliseconds),
        memory_bytes: settings.memory_bytes,
    };
    if text == LabelText::default() {
        return String::new();
    }
    serde_json::to_string(&text).unwrap_or_default()
}

/// What a label says. One that is something else says nothing.
pub(crate) fn read(label: &str) -> CheckSettings {
    let text: LabelText = serde_json::from_str(label).unwrap_or_default();
    CheckSettings {
        path: text.path,
        status: text.status,
        within: text.within_milliseconds.map(Duration::from_millis),
        memory_bytes: text.memory_bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::testing::with;

    #[test]
    fn an_image_remembers_what_its_project_wants() {
        let settings = "check: {path: /up, status: 204, within: 1500ms, memory: 1G}\n";
        let plan = with(&[("app.py", ""), ("s2r.yaml", settings)], &[], |_| {}).unwrap();
        let label = &plan.labels[CHECK_LABEL];
        assert_eq!(
            label.value,
            r#"{"path":"/up","status":204,"within_milliseconds":1500,"memory_bytes":1073741824}"#
        );
        assert_eq!(label.origin.to_string(), "s2r.yaml:1");
        let text = crate::plan::render(&plan);
        assert!(text.contains("check         {\"path\":\"/up\""), "{text}");
        let read = read(&label.value);
        assert_eq!(read.path.as_deref(), Some("/up"));
        assert_eq!(
            (read.status, read.within),
            (Some(204), Some(Duration::from_millis(1500)))
        );
        assert_eq!(read.memory_bytes, Some(1 << 30));
        let plan = with(&[("app.py", "")], &[], |_| {}).unwrap();
        assert!(!plan.labels.contains_key(CHECK_LABEL));
    }

    #[test]
    fn labels_of_others_say_nothing() {
        for label in ["", "{}", "[]", "/healthz", r#"{"path": 1}"#] {
            let read = read(label);
            assert!(read.path.is_none() && read.status.is_none(), "{label}");
        }
    }
}
