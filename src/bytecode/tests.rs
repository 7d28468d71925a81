//! A compiler with interpreters that are scripts: what it asks them for, keeps, and says of those that fail.

use std::os::unix::fs::PermissionsExt as _;

use super::testing::set;
use super::*;
use crate::layers::bytecode::testing::written;
use crate::packages::Sha256;
use crate::report::ErrorClass;
use crate::store::Store;

const LOADERS: [&str; 2] = [
    "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1",
];
const SOURCES: [(&str, &[u8]); 2] = [
    ("usr/lib/python3.13/functools.py", b"ft"),
    ("usr/lib/python3.13/json/__init__.py", b"js"),
];
/// Takes all sources, and makes nothing of them.
const IDLE: &str = "/bin/cat > input; printf 0";

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Report for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { text, .. } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

fn put(root: &Path, path: &str, bytes: &[u8], mode: u32) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
}

/// A base whose loader is a script.
fn base(script: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for loader in LOADERS {
        let text = format!("#!/bin/sh\n{script}\n");
        put(root.path(), loader, text.as_bytes(), 0o755);
    }
    put(root.path(), "usr/bin/python3.13", b"", 0o755);
    // The interpreter has it frozen, so that nothing is made of it.
    put(root.path(), "usr/lib/python3.13/os.py", b"os", 0o644);
    for (path, text) in SOURCES {
        put(root.path(), path, text, 0o644);
    }
    root
}

/// A base that compiles each source of [`SOURCES`] to its own text.
fn working() -> tempfile::TempDir {
    let root = base("");
    let (mut file, length) = written(&SOURCES, PycValidation::Unchecked);
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    std::io::Seek::rewind(&mut file).unwrap();
    std::io::Read::read_exact(&mut file, &mut bytes).unwrap();
    put(root.path(), "made", &bytes, 0o644);
    let made = root.path().join("made");
    for loader in LOADERS {
        let text = format!(
            "#!/bin/sh\n/bin/cat > input\n/bin/cp {} 0\nprintf 1\n",
            made.display()
        );
        put(root.path(), loader, text.as_bytes(), 0o755);
    }
    root
}

/// Compiles the library, the interpreter being in one base, and this machine's whole base another.
fn library(
    (store, report): (&Store, &Warnings),
    interpreter: &Path,
    machine: &Path,
) -> (Result<ByteCode, BuildError>, CompileTotals) {
    // A script needs the shell, and the shell its libraries.
    let folders = |root: &Path| -> FindFolders<'static> {
        let roots = vec![root.to_owned(), PathBuf::from("/")];
        Box::new(move || Ok(roots.clone()))
    };
    let of_library = vec![machine.to_owned()];
    let folders = LayerFolders {
        interpreter: folders(interpreter),
        machine: folders(machine),
        library: Box::new(move || Ok(of_library.clone())),
    };
    let key = KeyBuilder::new("compiler").finish();
    let compiler = BytecodeCompiler::new((store, report), 2, ("3.13", key), folders);
    let done = compiler.library(&KeyBuilder::new("library").finish());
    let totals = compiler.totals();
    (done, totals)
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

#[test]
fn what_was_compiled_once_is_kept_and_needs_no_interpreter() {
    let (_folder, store) = store();
    let report = Warnings::default();
    let base = working();
    let (code, totals) = library((&store, &report), base.path(), base.path());
    let code = code.unwrap();
    assert_eq!((totals.compiled_files, totals.known_files), (2, 0));
    let mut bytes = Vec::new();
    let span = code.of(SOURCES[1].0.as_bytes()).unwrap();
    std::io::Read::read_to_end(&mut code.read(span), &mut bytes).unwrap();
    assert_eq!(&bytes[16..], b"js");
    for loader in LOADERS {
        std::fs::remove_file(base.path().join(loader)).unwrap();
    }
    let (again, totals) = library((&store, &report), base.path(), base.path());
    assert_eq!(again.unwrap().sources().count(), 2);
    assert_eq!((totals.compiled_files, totals.known_files), (0, 2));
    assert!(report.0.lock().unwrap().is_empty());
}

#[test]
fn where_the_compiler_breaks_off_sources_stay_and_that_is_said() {
    let (_folder, store) = store();
    let report = Warnings::default();
    let idle = base(IDLE);
    let (code, totals) = library((&store, &report), idle.path(), idle.path());
    assert_eq!(code.unwrap().sources().count(), 0);
    assert_eq!(totals.failed_files, 2);
    let warned = report.0.lock().unwrap().join("\n");
    assert!(warned.starts_with("2 files have no byte code"), "{warned}");
    // Nothing is remembered of it: the next one may do better.
    let base = working();
    let (code, totals) = library((&store, &report), base.path(), base.path());
    assert_eq!(code.unwrap().sources().count(), 2);
    assert_eq!((totals.compiled_files, totals.failed_files), (2, 0));
}

#[test]
fn output_that_is_no_byte_code_is_not_taken() {
    let (_folder, store) = store();
    let report = Warnings::default();
    let liar = base("/bin/cat > input; printf nonsense > 0; printf 1");
    let (code, totals) = library((&store, &report), liar.path(), liar.path());
    assert_eq!(code.unwrap().sources().count(), 0);
    assert_eq!((totals.compiled_files, totals.failed_files), (0, 2));
}

#[test]
fn an_interpreter_that_lacks_a_library_is_looked_for_in_the_whole_base() {
    let (_folder, store) = store();
    let report = Warnings::default();
    let (lacking, whole) = (base("/bin/cat > input; exit 127"), working());
    let (code, totals) = library((&store, &report), lacking.path(), whole.path());
    assert_eq!(code.unwrap().sources().count(), 2);
    assert_eq!(totals.compiled_files, 2);
}

#[test]
fn the_last_words_of_an_interpreter_that_fails_are_told() {
    let (_folder, store) = store();
    let report = Warnings::default();
    let broken = base("/bin/cat > input; echo libfoo.so.1: cannot open >&2; exit 127");
    let (done, totals) = library((&store, &report), broken.path(), broken.path());
    let error = done.unwrap_err();
    let Some(CompileError::Interpreter { program, complaint }) = error.find() else {
        panic!("{error}");
    };
    assert!(program.ends_with("usr/bin/python3.13"));
    assert!(
        complaint.contains("libfoo.so.1: cannot open"),
        "{complaint}"
    );
    assert_eq!(error.explain().class, ErrorClass::World);
    assert_eq!(totals, CompileTotals::default());
}

#[test]
fn a_base_without_interpreter_or_library_is_an_error() {
    let (_folder, store) = store();
    let report = Warnings::default();
    let (none, base) = (tempfile::tempdir().unwrap(), working());
    for (interpreter, library_of) in [(base.path(), none.path()), (none.path(), none.path())] {
        let (done, _) = library((&store, &report), interpreter, library_of);
        let error = done.unwrap_err();
        assert!(
            matches!(error.find(), Some(CompileError::NoInterpreter { .. })),
            "{error}"
        );
    }
}

#[test]
fn a_source_that_cannot_be_read_is_the_error_and_not_the_interpreters() {
    let (_folder, store) = store();
    let report = Warnings::default();
    let base = base(IDLE);
    let roots = vec![base.path().to_owned(), PathBuf::from("/")];
    let interpreter = HostInterpreter::find(&roots, "3.13").unwrap();
    let key = KeyBuilder::new("compiler").finish();
    let nothing = || -> FindFolders<'static> { Box::new(|| Ok(Vec::new())) };
    let folders = LayerFolders {
        interpreter: nothing(),
        machine: nothing(),
        library: nothing(),
    };
    let compiler = BytecodeCompiler::new((&store, &report), 1, ("3.13", key), folders);
    let gone = || StoreError::Io {
        path: "gone.py".into(),
        source: io::ErrorKind::NotFound.into(),
    };
    let sets = [SourceSet {
        read: Box::new(move |_| Err(gone().into())),
        ..set(&[3, 3])
    }];
    let jobs = jobs(&sets, &key);
    let lanes = lanes::of(&jobs, &sets, 1);
    let error = lanes::run(&compiler, &interpreter, &lanes, &sets).unwrap_err();
    assert!(error.find::<StoreError>().is_some(), "{error}");
    assert!(error.find::<CompileError>().is_none());
}

#[test]
fn an_interpreter_is_put_together_from_the_layers_of_its_base() {
    let (loader, program) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for path in LOADERS {
        put(loader.path(), path, b"", 0o755);
    }
    let roots = [loader.path().to_owned(), program.path().to_owned()];
    assert!(HostInterpreter::find(&roots, "3.13").is_none());
    put(program.path(), "usr/bin/python3.13", b"", 0o755);
    put(program.path(), "usr/lib/python3.13/os.py", b"", 0o644);
    assert!(HostInterpreter::find(&roots, "3.12").is_none());
    let found = HostInterpreter::find(&roots, "3.13").unwrap();
    let command = found.command(true, Path::new("/tmp"));
    assert!(Path::new(command.get_program()).starts_with(loader.path()));
    let words: Vec<_> = command.get_args().collect();
    assert_eq!(words[0], "--library-path");
    assert_eq!(
        Path::new(words[2]),
        program.path().join("usr/bin/python3.13")
    );
    assert_eq!(*words.last().unwrap(), "1", "sources are to be checked");
    // Nothing of the caller's environment reaches it.
    let home = command.get_envs().find(|(name, _)| *name == "PYTHONHOME");
    assert_eq!(
        home.unwrap().1.unwrap(),
        program.path().join("usr").as_os_str()
    );
}

#[test]
fn the_compilers_key_is_of_pythons_versions_alone() {
    let deb = |package: &str, version: &str, architecture: &str| DebArtefact {
        package: package.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        url: String::new(),
        snapshot_url: None,
        sha256: Sha256([7; 32]),
        size: 1,
    };
    let python = deb("python3.13-minimal", "3.13.5-2", "amd64");
    let key = compiler_key(std::slice::from_ref(&python));
    let others = [python, deb("zlib1g", "1.3", "amd64")];
    assert_eq!(compiler_key(&others), key);
    assert_eq!(
        compiler_key(&[deb("python3.13-minimal", "3.13.5-2", "arm64")]),
        key
    );
    assert_ne!(
        compiler_key(&[deb("python3.13-minimal", "3.13.6-1", "amd64")]),
        key
    );
}

#[test]
fn a_changed_file_has_another_key_and_its_neighbours_portion_has_not() {
    let key = KeyBuilder::new("k").finish();
    let keys = |set: SourceSet<'_>| -> Vec<Key> {
        jobs(&[set], &key).into_iter().map(|job| job.key).collect()
    };
    let before = keys(set(&[600 << 10; 3]));
    let mut changed = set(&[600 << 10; 3]);
    changed.inputs[1].identity = [1; 32];
    let after = keys(changed);
    assert_eq!((before[0], before[2]), (after[0], after[2]));
    assert_ne!(before[1], after[1]);
}

#[test]
fn a_library_may_lie_in_more_than_one_layer() {
    let folder = tempfile::tempdir().unwrap();
    let mut found = BTreeMap::new();
    for (layer, file) in [("1", "functools.py"), ("2", "json/__init__.py")] {
        let path = folder.path().join(layer).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, layer).unwrap();
        walk(&folder.path().join(layer), "", &mut found).unwrap();
    }
    walk(&folder.path().join("none"), "", &mut found).unwrap();
    let names: Vec<&String> = found.keys().collect();
    assert_eq!(names, ["functools.py", "json/__init__.py"]);
}
