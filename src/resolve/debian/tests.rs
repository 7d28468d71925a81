//! The whole way from a signed suite to artefacts, with an archive that is a map of urls.

