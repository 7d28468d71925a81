use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::known_hashes::FileStamp;
use super::*;

/// A source by the lengths of its files; the folders above them come by themselves.
fn entries(files: &BTreeMap<String, u64>) -> Vec<SourceEntry> {
    let mut kinds: BTreeMap<Vec<u8>, SourceKind> = BTreeMap::new();
    for (path, &size_bytes) in files {
        for (slash, _) in path.match_indices('/') {
            kinds.insert(path.as_bytes()[..slash].to_vec(), SourceKind::Directory);
        }
        let stamp = FileStamp::of(&std::fs::metadata("/").unwrap());
        let file = SourceKind::File {
            size_bytes,
            executable: false,
            mode: 0o644,
            stamp,
        };
        kinds.insert(path.as_bytes().to_vec(), file);
    }
    let entry = |(path, kind)| SourceEntry { path, kind };
    kinds.into_iter().map(entry).collect()
}

fn named(files: &[(&str, u64)]) -> BTreeMap<String, u64> {
    files
        .iter()
        .map(|(path, size)| ((*path).to_owned(), *size))
        .collect()
}

/// The portions as lists of paths, folders with a slash behind them.
fn divided(files: &BTreeMap<String, u64>) -> Vec<Vec<String>> {
    let entries = entries(files);
    let division = SourceDivision::of(&entries);
    let paths = |portion: &SourcePortion| {
        let shown = portion.places.iter().map(|&place| {
            let slash = if is_folder(&entries[place]) { "/" } else { "" };
            format!("{}{slash}", entries[place].shown())
        });
        shown.collect()
    };
    division.portions().map(paths).collect()
}

/// Folders of a hundred small files each.
fn many(folders: &[&str]) -> BTreeMap<String, u64> {
    let files = folders.iter().flat_map(|folder| {
        (0..100).map(move |number| (format!("{folder}/f{number}.txt"), 1000_u64))
    });
    files.collect()
}

#[test]
fn a_small_source_is_whole() {
    let mut files = many(&["a", "b/c", "d"]);
    files.extend(named(&[
        ("app.py", 10),
        ("almost.bin", LARGE_FROM_BYTES - 1),
    ]));
    let entries = entries(&files);
    let division = SourceDivision::of(&entries);
    assert!(division.apart.is_empty());
    let code = &division.code;
    assert_eq!(code.places, (0..entries.len()).collect::<Vec<_>>());
    assert_eq!(code.title(&entries), "306 files and folders");
    assert!(division.described.is_empty());
}

#[test]
fn large_files_are_alone() {
    let files = named(&[
        ("app.py", 10),
        ("models/a.bin", 300_000_000),
        ("models/b.bin", LARGE_FROM_BYTES),
        ("models/labels.txt", 10),
        ("only/c.bin", 5_000_000),
        ("generated.py", 5_000_000),
    ]);
    assert_eq!(
        divided(&files),
        [
            vec!["models/", "models/a.bin"],
            vec!["models/", "models/b.bin"],
            vec!["only/", "only/c.bin"],
            vec![
                "app.py",
                "generated.py",
                "models/",
                "models/labels.txt",
                "only/"
            ],
        ]
    );
    let entries = entries(&files);
    let division = SourceDivision::of(&entries);
    let first = division.apart[0].title(&entries);
    assert_eq!(first, "models/a.bin (300 MB)");
    assert_eq!(
        division.described,
        [(
            PortionKind::LargeFiles,
            "3 files of 4 MiB and more in 3 layers: models/a.bin (300 MB), models/b.bin (5 MB), only/c.bin (5 MB)".to_owned(),
        )]
    );
}

#[test]
fn many_large_files_share_a_few_portions() {
    let files: BTreeMap<String, u64> = (0..40)
        .map(|number| (format!("m{number:02}.bin"), LARGE_FROM_BYTES + number))
        .collect();
    let portions = divided(&files);
    assert_eq!(portions.len(), MAX_LARGE + 1);
    for (portion, name) in portions.iter().zip(34..40) {
        assert_eq!(*portion, [format!("m{name}.bin")]);
    }
    assert!(portions[MAX_LARGE].is_empty(), "the rest");
}

#[test]
fn code_is_kept_apart_from_large_folders() {
    let folders: Vec<String> = (0..50)
        .map(|number| format!("src/data/d{number}"))
        .collect();
    let folders: Vec<&str> = folders.iter().map(String::as_str).collect();
    let mut files = many(&folders);
    files.extend(named(&[
        ("wsgi.py", 10),
        ("src/app/views.py", 10),
        ("src/data.txt", 1),
    ]));
    let portions = divided(&files);
    assert!(portions.len() > 8, "{}", portions.len());
    let rest = portions.last().unwrap();
    assert_eq!(
        *rest,
        [
            "src/",
            "src/app/",
            "src/app/views.py",
            "src/data.txt",
            "wsgi.py"
        ]
    );
    // A folder's files are together.
    for folder in folders {
        let with = portions.iter().filter(|portion| {
            portion
                .iter()
                .any(|path| path.starts_with(&format!("{folder}/")))
        });
        assert_eq!(with.count(), 1, "{folder}");
    }
    let entries = entries(&files);
    let (kind, line) = &SourceDivision::of(&entries).described[0];
    assert_eq!(*kind, PortionKind::LargeFolders);
    assert!(
        line.starts_with("5000 files of large folders in "),
        "{line}"
    );
    assert!(line.ends_with(" layers: src"), "{line}");
}

#[test]
fn a_folder_that_is_large_by_itself_is_dealt_out_but_for_its_code() {
    let mut files = many(&["f"]);
    files.extend((0..6000).map(|number| (format!("flat/{number}.txt"), 10)));
    files.extend(named(&[
        ("flat/a.py", 10),
        ("flat/z.py", 10),
        ("flat/__pycache__/a.cpython-313.pyc", 10),
    ]));
    let portions = divided(&files);
    assert_eq!(portions.len(), FOLDER_PORTIONS + 1);
    let with_code: Vec<&Vec<String>> = portions
        .iter()
        .filter(|portion| portion.iter().any(|path| is_python(path.as_bytes())))
        .collect();
    assert_eq!(with_code.len(), 1);
    for path in [
        "flat/a.py",
        "flat/z.py",
        "flat/__pycache__/a.cpython-313.pyc",
    ] {
        assert!(with_code[0].iter().any(|found| found == path), "{path}");
    }
}

/// Sources with folders of several depths, and lengths around the bounds.
fn sources() -> impl Strategy<Value = BTreeMap<String, u64>> {
    let size = prop_oneof![
        4 => 0..100_000_u64,
        2 => 1_000_000..LARGE_FROM_BYTES,
        1 => LARGE_FROM_BYTES..90_000_000_u64,
    ];
    let path = "([abc]/){0,3}[a-z]{1,3}(\\.py)?";
    proptest::collection::btree_map(path, size, 1..80).prop_map(|mut files| {
        // No file is a folder as well.
        let paths: Vec<String> = files.keys().cloned().collect();
        files.retain(|path, _| {
            !paths
                .iter()
                .any(|other| other.starts_with(&format!("{path}/")))
        });
        files
    })
}

proptest! {
    #[test]
    fn every_file_is_in_one_portion_with_the_folders_above_it(files in sources()) {
        let entries = entries(&files);
        let division = SourceDivision::of(&entries);
        prop_assert!(division.apart.len() <= MAX_LARGE + FOLDER_PORTIONS);
        let mut seen = vec![0; entries.len()];
        for portion in division.portions() {
            prop_assert!(portion.places.is_sorted_by(|a, b| a < b));
            for &place in &portion.places {
                seen[place] += 1;
                let folder = folder_of(&entries[place].path);
                let is_there = portion.places.iter().any(|&other| entries[other].path == folder);
                prop_assert!(folder.is_empty() || is_there);
            }
        }
        for (entry, seen) in entries.iter().zip(seen) {
            prop_assert!(seen == 1 || is_folder(entry) && seen > 0, "{}", entry.shown());
        }
    }

    #[test]
    fn an_edit_leaves_all_other_portions_as_they_are(files in sources(), which in 0..80_usize) {
        let before = divided(&files);
        let mut edited = files.clone();
        let path = files.keys().nth(which % files.len()).unwrap();
        let size = edited.get_mut(path).unwrap();
        // Within the same power of two.
        *size = size.next_power_of_two();
        let is_large = *size >= LARGE_FROM_BYTES;
        if is_large == (files[path] >= LARGE_FROM_BYTES) && !is_large {
            prop_assert_eq!(divided(&edited), before);
        }
    }
}
