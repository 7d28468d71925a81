use super::*;
use crate::source::KnownHashes;
use crate::source::testing::{folder, tree};

const OPTIONS: TarOptions = TarOptions {
    mtime: 315_532_800,
    effort: crate::archive::tar::CompressionEffort::Usual,
};

fn of<'a>(tree: &'a SourceTree, contents: &'a TreeContents) -> SourceLayer<'a> {
    SourceLayer {
        tree,
        contents,
        portion: &tree.division().code,
        notes: &NO_NOTES,
        bytecode: None,
    }
}

#[test]
fn the_name_for_run_is_noted() {
    let folder = folder(&[("app.py", "x")]);
    let tree = tree(&folder);
    let contents = tree.contents(&KnownHashes::default()).unwrap();
    let named = SourceLayer {
        notes: &BTreeMap::from([("setup-name", "shop".to_owned())]),
        ..of(&tree, &contents)
    };
    assert_ne!(key(named, OPTIONS), key(of(&tree, &contents), OPTIONS));
    let mut out = LayerWriter::new(Vec::new(), OPTIONS);
    write(named, &ByteCode::default(), &mut out).unwrap();
    let (bytes, _) = out.finish().unwrap();
    let mut tar = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()));
    let mut note = String::new();
    let is_note = |entry: &::tar::Entry<'_, _>| entry.path_bytes().ends_with(b"etc/s2r/setup-name");
    let mut entry = tar
        .entries()
        .unwrap()
        .map(Result::unwrap)
        .find(is_note)
        .unwrap();
    entry.read_to_string(&mut note).unwrap();
    assert_eq!(note, "shop\n");
}

fn layer(tree: &SourceTree) -> Result<Vec<u8>, SourceLayerError> {
    let contents = tree.contents(&KnownHashes::default())?;
    let mut out = LayerWriter::new(Vec::new(), OPTIONS);
    write(of(tree, &contents), &ByteCode::default(), &mut out)?;
    Ok(out.finish()?.0)
}

fn listing(gz: &[u8]) -> Vec<String> {
    crate::layers::testing::listing(flate2::read::MultiGzDecoder::new(gz))
}

#[test]
fn the_tree_lies_below_its_prefix() {
    let folder = folder(&[
        ("app.py", "x"),
        ("run*", "#!/bin/sh\n"),
        ("a/b", ""),
        ("a-c", ""),
        ("link", "-> a/b"),
        ("ünï", "y"),
    ]);
    assert_eq!(
        listing(&layer(&tree(&folder)).unwrap()),
        [
            "755 0:0 opt/",
            "775 1001:0 opt/app-root/",
            "775 1001:0 opt/app-root/src/",
            "775 1001:0 opt/app-root/src/a/",
            "664 1001:0 opt/app-root/src/a-c",
            "664 1001:0 opt/app-root/src/a/b",
            "664 1001:0 opt/app-root/src/app.py",
            "777 1001:0 opt/app-root/src/link -> a/b",
            "775 1001:0 opt/app-root/src/run",
            "664 1001:0 opt/app-root/src/ünï",
        ]
    );
}

#[test]
fn another_folder_with_the_same_files_is_the_same_layer() {
    let files = [("app.py", "x"), ("b/c*", "y")];
    let (one, other) = (folder(&files), folder(&files));
    let (one, other) = (tree(&one), tree(&other));
    assert_eq!(layer(&one).unwrap(), layer(&other).unwrap());
    let contents = (
        one.contents(&KnownHashes::default()).unwrap(),
        other.contents(&KnownHashes::default()).unwrap(),
    );
    let (one, other) = (of(&one, &contents.0), of(&other, &contents.1));
    assert_eq!(key(one, OPTIONS), key(other, OPTIONS));
    let later = TarOptions {
        mtime: 1,
        ..OPTIONS
    };
    assert_ne!(key(one, OPTIONS), key(other, later));
}

#[test]
fn a_file_that_changed_after_hashing_is_refused() {
    for text in ["Y", "longer"] {
        let folder = folder(&[("app.py", "x")]);
        let tree = tree(&folder);
        let contents = tree.contents(&KnownHashes::default()).unwrap();
        std::fs::write(folder.path().join("app.py"), text).unwrap();
        let mut out = LayerWriter::new(Vec::new(), OPTIONS);
        let error = write(of(&tree, &contents), &ByteCode::default(), &mut out).unwrap_err();
        assert!(
            matches!(&error, SourceLayerError::Source(SourceError::Changed { path }) if path.ends_with("app.py")),
            "{error:?}"
        );
    }
}

#[test]
fn byte_code_lies_beside_its_sources() {
    use crate::layers::bytecode::{PycValidation, testing::compiled};

    let folder = folder(&[
        ("app.py", "x"),
        ("a/__pycache__/m.cpython-313.pyc", "stale"),
        ("a/__pycache__/z.txt", ""),
        ("a/m.py", "y"),
        ("b/__pycache__", "a file"),
        ("b/n.py", ""),
        ("tests/t.py", ""),
    ]);
    let settings = crate::source::SourceSettings {
        exclude: vec![String::new()],
        ..crate::source::testing::settings(&folder)
    };
    let tree = SourceTree::read(&settings, &crate::report::SilentReport).unwrap();
    let contents = tree.contents(&KnownHashes::default()).unwrap();
    let key_of = |bytecode| {
        key(
            SourceLayer {
                bytecode,
                ..of(&tree, &contents)
            },
            OPTIONS,
        )
    };
    let compiler = KeyBuilder::new("c").finish();
    assert_ne!(key_of(None), key_of(Some(("3.13", compiler))));
    let source = SourceLayer {
        bytecode: Some(("3.13", compiler)),
        ..of(&tree, &contents)
    };
    let modules = modules(source);
    let paths: Vec<String> = modules
        .iter()
        .map(|module| String::from_utf8_lossy(&module.path).into_owned())
        .collect();
    assert_eq!(
        paths,
        ["a/m.py", "app.py", "b/n.py"].map(|path| format!("opt/app-root/src/{path}"))
    );
    assert_eq!(read(source, &modules[1]).unwrap(), b"x");
    let sources: Vec<(&str, &[u8])> = paths
        .iter()
        .map(|path| (path.as_str(), b"code".as_slice()))
        .collect();
    let code = compiled(&sources, PycValidation::Checked);
    let mut out = LayerWriter::new(Vec::new(), OPTIONS);
    write(source, &code, &mut out).unwrap();
    let listing = listing(&out.finish().unwrap().0);
    assert_eq!(
        listing[3..],
        [
            "775 1001:0 opt/app-root/src/__pycache__/",
            "664 1001:0 opt/app-root/src/__pycache__/app.cpython-313.pyc",
            "775 1001:0 opt/app-root/src/a/",
            "775 1001:0 opt/app-root/src/a/__pycache__/",
            "664 1001:0 opt/app-root/src/a/__pycache__/m.cpython-313.pyc",
            "664 1001:0 opt/app-root/src/a/__pycache__/z.txt",
            "664 1001:0 opt/app-root/src/a/m.py",
            "664 1001:0 opt/app-root/src/app.py",
            "775 1001:0 opt/app-root/src/b/",
            "664 1001:0 opt/app-root/src/b/__pycache__",
            "664 1001:0 opt/app-root/src/b/n.py",
            "775 1001:0 opt/app-root/src/tests/",
            "664 1001:0 opt/app-root/src/tests/t.py",
        ]
    );
}

/// Members that one layer left for the next.
#[derive(Default)]
struct Left {
    layer: Vec<u8>,
    places: std::cell::RefCell<BTreeMap<[u8; 32], crate::archive::tar::MemberPlace>>,
    found: std::cell::Cell<usize>,
}

impl KnownMembers for Left {
    fn find(&self, sha256: &[u8; 32], size_bytes: u64) -> Option<KnownMember> {
        let place = *self.places.borrow().get(sha256)?;
        let at = |offset: u64| usize::try_from(offset).unwrap();
        let crc32 = *self.layer[at(place.trailer_offset()?)..].first_chunk()?;
        let stream = self.layer.get(at(place.stream_offset())..)?.to_vec();
        self.found.set(self.found.get() + 1);
        Some(KnownMember {
            deflated: crate::archive::tar::DeflateSummary {
                size: size_bytes,
                compressed_size: place.stream_bytes()?,
                crc32: u32::from_le_bytes(crc32),
            },
            stream: Box::new(std::io::Cursor::new(stream)),
        })
    }

    fn note(&self, sha256: &[u8; 32], place: crate::archive::tar::MemberPlace) {
        self.places.borrow_mut().insert(*sha256, place);
    }
}

fn all_of(source: SourceLayer<'_>) -> Vec<SourceLayer<'_>> {
    use PortionKind::{LargeFiles, LargeFolders, Rest};
    let kinds = [LargeFiles, LargeFolders, Rest].into_iter();
    kinds.flat_map(|kind| source.of_kind(kind)).collect()
}

fn large_layer(tree: &SourceTree, members: &Left) -> Vec<u8> {
    let contents = tree.contents(&KnownHashes::default()).unwrap();
    let layers = of(tree, &contents).of_kind(PortionKind::LargeFiles);
    let mut out = LayerWriter::new(Vec::new(), OPTIONS);
    write_large(layers[0], members, &mut out).unwrap();
    out.finish().unwrap().0
}

#[test]
fn a_large_file_that_has_moved_is_copied_to_the_bytes_that_it_would_have_anyway() {
    // No multiple of a block, and one.
    for length in [(4 << 20) + 7, 5 << 20] {
        let text: String = (0..length)
            .map(|n| char::from(b'a' + u8::try_from(n % 23).unwrap()))
            .collect();
        let before = folder(&[("models/m.bin*", text.as_str()), ("app.py", "x")]);
        let after = folder(&[("weights/of/m.bin", text.as_str()), ("app.py", "x")]);
        let (before, after) = (tree(&before), tree(&after));
        let mut left = Left::default();
        left.layer = large_layer(&before, &left);
        assert_eq!((left.places.borrow().len(), left.found.get()), (1, 0));
        let copied = large_layer(&after, &left);
        assert_eq!(left.found.get(), 1);
        assert!(copied == large_layer(&after, &Left::default()));
        assert_eq!(
            listing(&copied)[3..],
            [
                "775 1001:0 opt/app-root/src/weights/",
                "775 1001:0 opt/app-root/src/weights/of/",
                "664 1001:0 opt/app-root/src/weights/of/m.bin",
            ]
        );
    }
}

#[test]
fn what_is_large_is_in_one_layer_and_the_notes_are_with_the_code() {
    let large = "x".repeat(4 << 20);
    let folder = folder(&[("m.bin", large.as_str()), ("app.py", "x")]);
    let tree = tree(&folder);
    let contents = tree.contents(&KnownHashes::default()).unwrap();
    let compiler = KeyBuilder::new("c").finish();
    let code = SourceLayer {
        notes: &BTreeMap::from([("module", "app:app".to_owned())]),
        bytecode: Some(("3.13", compiler)),
        ..of(&tree, &contents)
    };
    let layers = all_of(code);
    let titles: Vec<String> = layers.iter().map(SourceLayer::title).collect();
    assert_eq!(
        titles,
        ["source: m.bin (5 MB)", "source: 1 files and folders"]
    );
    assert!(layers[0].notes.is_empty() && layers[0].bytecode.is_none());
    assert_eq!(layers[1].notes["module"], "app:app");
    // What Python compiles it is nothing to a file that is no source.
    let without = all_of(of(&tree, &contents));
    assert_eq!(key(layers[0], OPTIONS), key(without[0], OPTIONS));
    assert_ne!(key(layers[1], OPTIONS), key(without[1], OPTIONS));
}
