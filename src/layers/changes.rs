pub(crate) enum Kind {
    Folder { is_opaque: bool },
    File { size_bytes: u64 },
    Link { target: Vec<u8> },
    Removed,
}
pub(crate) struct Change {
    pub path: Vec<u8>,
    pub kind: Kind,
    pub mode: u32,
    pub file: std::path::PathBuf,
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub(crate) struct Error;
impl crate::report::Explain for Error {
    fn explain(&self) -> crate::report::Explanation {
        unimplemented!()
    }
}
pub(crate) fn write<W: std::io::Write>(
    _: &[Change],
    _: &mut crate::archive::tar::TarGz<W>,
) -> Result<(), Error> {
    Ok(())
}
