//! Drives the program as its users do: examples built, pushed, pulled back and run by other people's tools,
//! and everything that can go wrong on the way.
//!
//! What the tests need besides cargo is installed by `tests/run`. The network is used once, to fill one store
//! with downloads; each test then works on a store of its own that starts as a copy of that one.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a panic is how a test fails; clippy exempts only #[test] functions here"
)]

mod harness {
    pub(crate) mod container;
    pub(crate) mod estargz;
    pub(crate) mod faulty;
    pub(crate) mod files;
    pub(crate) mod git;
    pub(crate) mod home;
    pub(crate) mod index;
    pub(crate) mod layout;
    pub(crate) mod listener;
    pub(crate) mod proxy;
    pub(crate) mod registry;
    pub(crate) mod sdist;
    pub(crate) mod servers;
    pub(crate) mod stored;
    pub(crate) mod tampered;
    pub(crate) mod tls;
    pub(crate) mod token_service;
    pub(crate) mod tools;
    pub(crate) mod wheel;
}

mod addressed;
mod aptfile;
mod arm64;
mod bare;
mod base;
mod builds;
mod bytecode;
mod cache_trust;
mod check;
mod contract;
mod damage;
mod examples;
mod exits;
mod few;
mod formats;
mod from_source;
mod git_versions;
mod hostile;
mod images;
mod inside;
mod interrupted;
mod labels;
mod large_files;
mod libraries;
mod locked;
mod locked_layers;
mod locks;
mod login;
mod monorepos;
mod named_sources;
mod names;
mod outputs;
mod plan;
mod platforms;
mod private_index;
mod project_steps;
mod pythons;
mod rebase;
mod rebuild;
mod registry;
mod releases;
mod remote_cache;
mod reproducible;
mod requirements;
mod rights;
mod sandbox;
mod scanners;
mod services;
mod settings;
mod source;
mod sources;
mod stale;
mod starts;
mod store;
mod switches;
mod swollen;
mod terminal;
