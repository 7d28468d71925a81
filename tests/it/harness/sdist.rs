//! Source distributions that build themselves: their backend lies in them and needs nothing, so that a
//! test builds from source without any index but its own.

use std::io::Write;

use crate::harness::wheel::Wheel;

const PYPROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";

/// A source distribution of a pure Python project.
pub(crate) struct Sdist {
    wheel: Wheel,
    /// Name and target of a symbolic link in it.
    link: Option<(&'static str, &'static str)>,
}

impl Sdist {
    /// One from which this wheel is built.
    pub(crate) fn of(wheel: Wheel) -> Self {
        Self { wheel, link: None }
    }

    /// The same with a symbolic link in the archive.
    pub(crate) fn with_link(mut self, name: &'static str, target: &'static str) -> Self {
        self.link = Some((name, target));
        self
    }

    pub(crate) fn name(&self) -> &str {
        self.wheel.name()
    }

    pub(crate) fn file_name(&self) -> String {
        format!("{}.tar.gz", self.folder())
    }

    fn folder(&self) -> String {
        let file = self.wheel.file_name();
        file.trim_end_matches("-py3-none-any.whl").to_owned()
    }

    /// The files of the project, by path.
    pub(crate) fn files(&self) -> Vec<(String, Vec<u8>)> {
        let file = self.wheel.file_name();
        let backend = format!(
            "import os, shutil\n\n\
             def build_wheel(folder, config_settings=None, metadata_directory=None):\n    \
             here = os.path.dirname(os.path.abspath(__file__))\n    \
             shutil.copy(os.path.join(here, 'finished'), os.path.join(folder, {file:?}))\n    \
             return {file:?}\n"
        );
        vec![
            ("pyproject.toml".to_owned(), PYPROJECT.into()),
            ("backend.py".to_owned(), backend.into()),
            ("finished".to_owned(), self.wheel.bytes()),
        ]
    }

    /// The archive.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, bytes) in self.files() {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            let path = format!("{}/{name}", self.folder());
            tar.append_data(&mut header, path, bytes.as_slice())
                .unwrap();
        }
        if let Some((name, target)) = self.link {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let path = format!("{}/{name}", self.folder());
            tar.append_link(&mut header, path, target).unwrap();
        }
        let bytes = tar.into_inner().unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        gzip.finish().unwrap()
    }
}
