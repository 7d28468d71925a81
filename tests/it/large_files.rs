//! What is large in a source stays where it is: an edit of the code neither reads nor sends it again.
//!
//! `a_hundred_thousand_files` is slow, and run by its name alone: `tests/run hundred_thousand --ignored`.

use std::fs::{self, File, FileTimes};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::harness::container::Container;
use crate::harness::files::{Project, copy};
use crate::harness::home::{Home, digest_of};
use crate::harness::proxy::Proxy;
use crate::harness::registry::Registry;
use crate::harness::tools::finish;

/// How long a file must have been left alone to be known without being read.
const QUIET: Duration = Duration::from_millis(2200);
const MODEL_BYTES: usize = 24 << 20;

/// The prediction API with a model that is large and can hardly be compressed.
fn prediction() -> Project {
    let project = Project::copy_of("prediction-api");
    write_model(&project.path().join("models/iris.json"), 1);
    project
}

/// Writes the model with noise in it; the same seed gives the same bytes, and all have the same length.
fn write_model(path: &Path, seed: u64) {
    let mut state = 2 * seed + 1;
    let mut noise = String::with_capacity(MODEL_BYTES);
    while noise.len() < MODEL_BYTES {
        // Marsaglia's xorshift64.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.push_str(&format!("{state:016x}"));
    }
    let text = format!(
        r#"{{"noise": "{noise}", "features": ["length", "width"],
        "centres": {{"setosa": [1.46, 0.25], "versicolor": [4.26, 1.33]}}}}"#
    );
    fs::write(path, text).unwrap();
}

fn edit(project: &Project, line: &str) {
    let path = project.path().join("wsgi.py");
    let text = fs::read_to_string(&path).unwrap();
    project.write("wsgi.py", &format!("{text}# {line}\n"));
}

#[track_caller]
fn build(home: &Home, source: &Path, more: &[&str]) -> Value {
    let mut command = home.command(&["build", "--json"]);
    finish(command.arg(source).args(more)).ok().json()
}

/// What the layers hold that had to be made.
fn made(summary: &Value) -> Vec<&str> {
    let layers = summary["platforms"][0]["layers"].as_array().unwrap();
    layers
        .iter()
        .filter(|layer| layer["fate"] == "made")
        .map(|layer| layer["contents"].as_str().unwrap())
        .collect()
}

fn layers(home: &Home, summary: &Value) -> Vec<String> {
    home.layout().layers(summary["digest"].as_str().unwrap())
}

#[test]
fn an_edit_sends_the_code_and_leaves_the_model_unread() {
    let home = Home::seeded();
    let registry = Registry::start();
    let proxy = Proxy::start(registry.port(), usize::MAX, || ());
    let image = proxy.repository("predicts");
    let project = prediction();
    finish(home.command(&["lock"]).arg(project.path())).ok();
    sleep(QUIET);
    let before = build(&home, &project.path(), &[&image, "--push"]);
    let sent = proxy.passed();
    assert!(sent > MODEL_BYTES / 2, "{sent}");
    edit(&project, "edited");

    let trace = home.dir().join("trace");
    let strace = ["strace", "-f", "-e", "trace=openat,openat2", "-o"];
    let outer = [&strace[..], &[trace.to_str().unwrap()]].concat();
    let source = project.path();
    let arguments = [
        "build",
        source.to_str().unwrap(),
        &image,
        "--push",
        "--json",
    ];
    let after = finish(&mut home.command_under(&outer, &arguments))
        .ok()
        .json();
    assert_eq!(made(&after).len(), 1, "{after}");
    assert!(made(&after)[0].ends_with(" files and folders"), "{after}");
    let sent = proxy.passed() - sent;
    assert!(sent < 100_000, "{sent} bytes went to the registry");
    let opened = fs::read_to_string(trace).unwrap();
    assert!(opened.contains("wsgi.py"), "{opened}");
    let of_model: Vec<&str> = opened
        .lines()
        .filter(|line| line.contains("iris.json"))
        .collect();
    assert!(of_model.is_empty(), "{of_model:?}");

    let (old, new) = (layers(&home, &before), layers(&home, &after));
    assert_eq!(old[..old.len() - 1], new[..new.len() - 1]);
    let contents = before["platforms"][0]["layers"].as_array().unwrap();
    let of_model = contents[old.len() - 2]["contents"].as_str().unwrap();
    assert_eq!(of_model, "source: models/iris.json (26 MB)");
}

#[test]
fn the_model_is_where_the_code_looks_for_it() {
    let home = Home::seeded();
    let project = prediction();
    let reference = home.build(&project.path(), &["predicts"]);
    home.layout().check(digest_of(&reference));
    home.layout().is_read_by_others(digest_of(&reference));
    let image = home.layout().reference(digest_of(&reference));
    let container = Container::start(&image, 1_000_680_000);
    for (query, kind) in [
        ("length=1.4&width=0.2", "setosa\n"),
        ("length=4.5&width=1.4", "versicolor\n"),
    ] {
        assert_eq!(container.page(&format!("/predict?{query}")), kind);
    }
    // Whoever runs it may write there, whichever layer a folder comes from.
    container.exec(&["touch", "models/new", "new"]).ok();
    container.stop();
}

#[test]
fn another_machine_makes_the_same_layers_and_takes_them_from_the_registry() {
    let home = Home::seeded();
    let registry = Registry::start();
    let image = registry.repository("predicts");
    let project = prediction();
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let first = build(&home, &project.path(), &[&image, "--push"]);
    // Elsewhere, later, and written in another order.
    let other = Project::new(&[]);
    copy(&project.path(), &other.path());
    write_model(&other.path().join("models/iris.json"), 1);
    let second = Home::seeded();
    let made_there = build(&second, &other.path(), &[&image]);
    assert_eq!(first["digest"], made_there["digest"]);
    let empty = Home::empty();
    edit(&other, "edited");
    let changed = build(
        &empty,
        &other.path(),
        &[&image, "--push", "--bytecode", "none"],
    );
    let of_model = |layer: &&Value| {
        let contents = layer["contents"].as_str().unwrap();
        contents.contains("models/iris.json")
    };
    let layers = changed["platforms"][0]["layers"].as_array().unwrap();
    let model = layers.iter().find(of_model).unwrap();
    assert_eq!(model["fate"], "believed", "{changed}");
}

#[test]
fn no_trick_with_times_keeps_an_old_model() {
    let home = Home::seeded();
    let project = prediction();
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let model = project.path().join("models/iris.json");
    let times = |path: &Path| {
        let metadata = fs::metadata(path).unwrap();
        FileTimes::new()
            .set_modified(metadata.modified().unwrap())
            .set_accessed(metadata.accessed().unwrap())
    };
    sleep(QUIET);
    let first = build(&home, &project.path(), &["x"]);
    let kept = times(&model);
    let set = |times| {
        File::options()
            .write(true)
            .open(&model)
            .unwrap()
            .set_times(times)
            .unwrap();
    };
    let mut last = first["digest"].clone();
    // In place, with the old time; by another file of the same length and time; with a time to come, and again at
    // once, within the same second.
    let in_place = |seed| {
        write_model(&model, seed);
        set(kept);
    };
    let by_another = |seed| {
        let other = model.with_extension("new");
        write_model(&other, seed);
        File::options()
            .write(true)
            .open(&other)
            .unwrap()
            .set_times(kept)
            .unwrap();
        fs::rename(other, &model).unwrap();
    };
    let from_the_future = |seed| {
        write_model(&model, seed);
        set(FileTimes::new().set_modified(SystemTime::now() + Duration::from_hours(24)));
    };
    let tricks: [&dyn Fn(u64); 5] = [
        &in_place,
        &by_another,
        &in_place,
        &from_the_future,
        &from_the_future,
    ];
    for (number, trick) in tricks.into_iter().enumerate() {
        trick(number as u64 + 10);
        let changed = build(&home, &project.path(), &["x"]);
        assert_ne!(changed["digest"], last, "trick {number}");
        assert_eq!(
            made(&changed),
            ["source: models/iris.json (26 MB)"],
            "trick {number}"
        );
        last = changed["digest"].clone();
    }
    // And what it was is what it was.
    write_model(&model, 1);
    assert_eq!(
        build(&home, &project.path(), &["x"])["digest"],
        first["digest"]
    );
}

#[test]
fn a_model_that_moves_takes_no_code_with_it() {
    let home = Home::seeded();
    let project = prediction();
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let before = build(&home, &project.path(), &["x"]);
    fs::rename(
        project.path().join("models"),
        project.path().join("weights"),
    )
    .unwrap();
    let after = build(&home, &project.path(), &["x"]);
    assert_eq!(made(&after).len(), 2, "{after}");
    home.layout().check(after["digest"].as_str().unwrap());
    // A machine that has never compressed it gets the same.
    let other = Home::seeded();
    let there = build(&other, &project.path(), &["x"]);
    assert_eq!(layers(&home, &after), layers(&other, &there));
    let (old, new) = (layers(&home, &before), layers(&home, &after));
    assert_eq!(old[..old.len() - 2], new[..new.len() - 2]);
    fs::rename(
        project.path().join("weights"),
        project.path().join("models"),
    )
    .unwrap();
    let back = build(&home, &project.path(), &["x"]);
    assert_eq!(
        (back["digest"].clone(), made(&back).len()),
        (before["digest"].clone(), 0)
    );
}

#[test]
fn the_plan_says_what_is_apart() {
    let home = Home::empty();
    let project = prediction();
    let plan = |project: &Project| {
        finish(home.command(&["plan"]).arg(project.path()))
            .ok()
            .stdout
    };
    let text = plan(&project);
    for line in [
        "source: 1 file of 4 MiB and more in 1 layer: models/iris.json (26 MB)",
        "source: the project's other files",
    ] {
        assert!(text.contains(line), "{text}");
    }
    let small = plan(&Project::copy_of("prediction-api"));
    assert!(small.contains("source: the project's files"), "{small}");
}

#[test]
fn collectstatic_finds_what_is_apart() {
    let home = Home::seeded();
    let project = Project::copy_of("django-gunicorn");
    let large = project.path().join("pages/static/pages/large.js");
    write_model(&large, 3);
    let reference = home.build(&project.path(), &["pages"]);
    let members = home.layout().members(digest_of(&reference));
    let source = fs::read(large).unwrap();
    let collected = members.iter().filter(|(path, member)| {
        path.contains("/static") && path.contains("large") && member.body == source
    });
    let paths: Vec<&String> = collected.map(|(path, _)| path).collect();
    assert_eq!(
        paths.len(),
        3,
        "as it was, collected, and by its hash: {paths:?}"
    );
}

/// A project with so many folders of a hundred small files.
fn with_folders(folders: usize) -> Project {
    let project = Project::copy_of("prediction-api");
    for number in 0..folders {
        let folder = project.path().join(format!("data/{}/{number}", number % 7));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..100 {
            let text = format!("{number} {file}\n").repeat(1 + file % 9);
            fs::write(folder.join(format!("{file}.txt")), text).unwrap();
        }
    }
    project
}

#[test]
fn an_edit_in_a_large_folder_makes_one_of_its_layers() {
    let home = Home::seeded();
    let project = with_folders(60);
    finish(home.command(&["lock"]).arg(project.path())).ok();
    let first = build(&home, &project.path(), &["x"]);
    let of_source = made(&first);
    let of_source = of_source
        .iter()
        .filter(|contents| contents.starts_with("source: "));
    assert!(of_source.count() > 5, "{first}");
    for (name, contents) in [
        ("data/3/10/7.txt", " files of large folders"),
        ("data/3/10/new.txt", " files of large folders"),
        ("wsgi.py", " files and folders"),
    ] {
        let text = fs::read_to_string(project.path().join(name)).unwrap_or_default();
        project.write(name, &(text + "# more\n"));
        let changed = build(&home, &project.path(), &["x"]);
        let [one] = made(&changed)[..] else {
            panic!("{name}: {changed}");
        };
        assert!(one.ends_with(contents), "{name}: {one}");
    }
    let reference = home.build(&project.path(), &["x"]);
    let members = home.layout().members(digest_of(&reference));
    let files = members
        .keys()
        .filter(|path| path.contains("/src/data/") && path.contains(".txt"));
    assert_eq!(files.count(), 6001);
}

#[test]
#[ignore = "writes 100,000 files"]
fn a_hundred_thousand_files() {
    let home = Home::seeded();
    let project = with_folders(1000);
    finish(home.command(&["lock"]).arg(project.path())).ok();
    sleep(QUIET);
    let began = Instant::now();
    build(&home, &project.path(), &["x"]);
    let first = began.elapsed();
    project.write("data/3/10/7.txt", "edited\n");
    let began = Instant::now();
    let changed = build(&home, &project.path(), &["x"]);
    let edit = began.elapsed();
    assert_eq!(made(&changed).len(), 1, "{changed}");
    assert!(edit * 3 < first, "{edit:?} against {first:?}");
}
