//! Labels and annotations: those that flags ask for, and those of a project's own assemble script.

use serde_json::Value;

use crate::harness::files::{Project, example};
use crate::harness::home::{Home, digest_of};
use crate::harness::registry::Registry;
use crate::harness::tools::{Finished, finish};

/// Labels as S2I's images write them, without a word about the folder that S2I's builders have not.
const ASSEMBLE: &str = r#"#!/bin/sh
set -e
cp -R /tmp/src/. .
mkdir -p /tmp/.s2i
cat > /tmp/.s2i/image_metadata.json <<EOF
{"labels": [{"team": "shop"}, {"io.k8s.display-name": "The shop"}, {"tier": "script"}]}
EOF
"#;

#[track_caller]
fn build(home: &Home, project: &Project, more: &[&str]) -> Finished {
    finish(home.command(&["build"]).arg(project.path()).args(more))
}

fn labels(home: &Home, reference: &str) -> Value {
    home.layout().config(digest_of(reference))["config"]["Labels"].clone()
}

#[test]
fn flags_ask_for_labels_and_annotations() {
    let home = Home::seeded();
    let plain = home.build(&example("script"), &["plain"]);
    let tags = "builder,python,python313,python-313,rh-python313";
    assert_eq!(labels(&home, &plain)["io.openshift.tags"], tags);
    let flags = [
        "--label=team=shop",
        "--label=io.k8s.display-name=The shop = ours",
        "--annotation=org.opencontainers.image.vendor=Shop Ltd",
    ];
    let asked = home.build(&example("script"), &[&["plain"], &flags[..]].concat());
    let found = labels(&home, &asked);
    assert_eq!(found["team"], "shop");
    assert_eq!(found["io.k8s.display-name"], "The shop = ours");
    assert_eq!(found["io.openshift.tags"], tags);
    let manifest = home.layout().document(digest_of(&asked));
    let vendor = &manifest["annotations"]["org.opencontainers.image.vendor"];
    assert_eq!(vendor, "Shop Ltd");
    // They are no part of any layer.
    let layers = |reference: &str| home.layout().layers(digest_of(reference));
    assert_eq!(layers(&asked), layers(&plain));
    let mut plan = home.command(&["plan", "--json"]);
    let plan = finish(plan.arg(example("script")).args(flags)).ok().json();
    assert_eq!(plan["labels"]["team"]["value"], "shop");
    let planned = &plan["annotations"]["org.opencontainers.image.vendor"]["value"];
    assert_eq!(planned, "Shop Ltd");
    for (flag, said) in [
        ("--label=team", "write KEY=VALUE"),
        ("--label==shop", "write KEY=VALUE"),
        (
            "--annotation=io.s2r.layer.key=x",
            "s2r writes annotations of these names",
        ),
    ] {
        home.run(&["build", ".", flag]).exits(2).says(&[said]);
    }
}

#[test]
fn an_assemble_script_asks_for_labels() {
    let (home, registry) = (Home::seeded(), Registry::start());
    let image = registry.repository("labels");
    let project = Project::new(&[("app.py", "pass\n"), (".s2i/bin/assemble", ASSEMBLE)]);
    let more = [image.as_str(), "--push", "--label=tier=flag"];
    let built = build(&home, &project, &more).ok();
    let found = labels(&home, built.line());
    assert_eq!(found["team"], "shop");
    assert_eq!(found["io.k8s.display-name"], "The shop");
    assert_eq!(found["tier"], "flag");
    // Where the script is not run again: here, and where the image in the registry has its layer.
    for home in [&home, &Home::seeded()] {
        assert_eq!(build(home, &project, &more).ok().line(), built.line());
    }
    // One that leaves nothing else is remembered too.
    let alone = ASSEMBLE.replace("cp -R /tmp/src/. .\n", "");
    project.write(".s2i/bin/assemble", &alone);
    for _ in 0..2 {
        let built = build(&home, &project, &["alone"]).ok();
        assert_eq!(labels(&home, built.line())["tier"], "script");
    }
    project.write(
        ".s2i/bin/assemble",
        &alone.replace("[{", "{").replace("}]", "}"),
    );
    build(&home, &project, &["wrong"])
        .exits(65)
        .says(&["/tmp/.s2i/image_metadata.json", "does not hold labels"]);
    let link = "#!/bin/sh\nln -s /etc/passwd /tmp/.s2i/image_metadata.json\n";
    project.write(".s2i/bin/assemble", link);
    build(&home, &project, &["link"])
        .exits(65)
        .says(&["is no regular file"]);
}
