//! Where packages come from: what requirement files say, over what pip's variables say, over the
//! default.

use std::collections::BTreeMap;

use super::error::WheelError;
use super::named::NamedIndexes;
use super::variables::{first_index, index_address, word};
use crate::packages::python::conditions::{Choosing, PRE_RELEASES, RESOLUTIONS};
use crate::packages::python::switches::is_on;
use crate::packages::python::{
    FolderLink, FormatRules, IndexOptions, PUBLIC_INDEX, PackageName, PackageUrl, UploadLimit,
    UrlSecret,
};

/// The indexes and what goes for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IndexSettings {
    /// The first index; none under `--no-index`.
    pub default: Option<PackageUrl>,
    /// Further ones. As in pip, the best version of all indexes is taken.
    pub extra: Vec<PackageUrl>,
    /// Pages with links to files.
    pub find_links: Vec<PackageUrl>,
    /// Folders with wheels, to be looked for in the source.
    pub folders: Vec<FolderLink>,
    /// Which packages must come from source, and which must not.
    pub formats: FormatRules,
    /// Hosts whose certificate pip would not check. We check every one, and say so.
    pub trusted_hosts: Vec<String>,
    /// Whether pre-releases are as good as releases.
    pub pre_releases: bool,
    /// What the project's own tool names; over pip's options where it names any.
    pub named: NamedIndexes,
    /// Which files are taken beyond that.
    pub taken: Taken,
}

/// Which files are taken of those that there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// Until when they may have been uploaded.
    pub uploaded: Option<UploadLimit>,
    /// Only what is named: nothing that it needs.
    pub without_dependencies: bool,
    /// When pre-releases count, in uv's words.
    pub pre_releases: Option<String>,
    /// Which versions are taken, in uv's words.
    pub resolution: Option<String>,
    /// Metadata that stand for those of packages, for uv.
    pub metadata: String,
    /// Whether a newer release is taken that has to be built.
    pub prefers_newest: bool,
}

/// The variable that says whether releases without a wheel count.
pub(super) const PREFER: &str = "S2R_PREFER";

impl Taken {
    /// What the project's tool says, over it what the variables say.
    ///
    /// # Errors
    /// A value that is not understood.
    fn new(
        choosing: &Choosing,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, WheelError> {
        let mut taken = Self {
            uploaded: choosing.uploaded.clone(),
            pre_releases: choosing.pre_releases.clone(),
            resolution: choosing.resolution.clone(),
            metadata: choosing.metadata.clone(),
            ..Self::default()
        };
        let variable = |name: &str| environment.get(name).map_or("", String::as_str);
        for (name, takes_day) in [("PIP_UPLOADED_PRIOR_TO", false), ("UV_EXCLUDE_NEWER", true)] {
            let text = variable(name);
            if text.is_empty() {
                continue;
            }
            let limit = UploadLimit::read(text, takes_day).ok_or(WheelError::Switch {
                name,
                why: "s2r takes a date or a moment in UTC, such as 2006-12-02T02:07:43Z",
            })?;
            taken.uploaded = Some(match taken.uploaded.take() {
                Some(other) => other.earlier(limit),
                None => limit,
            });
        }
        if let Some(when) = word(environment, "UV_PRERELEASE", &PRE_RELEASES)? {
            taken.pre_releases = Some(when);
        }
        if let Some(which) = word(environment, "UV_RESOLUTION", &RESOLUTIONS)? {
            taken.resolution = Some(which);
        }
        taken.without_dependencies = is_on(variable("PIP_NO_DEPS"));
        taken.prefers_newest = match variable(PREFER) {
            "" | "wheels" => false,
            "newest" => true,
            _ => {
                return Err(WheelError::Switch {
                    name: PREFER,
                    why: "it is `wheels`, or `newest` for releases that have to be built too",
                });
            }
        };
        Ok(taken)
    }
}

impl IndexSettings {
    /// Puts the options of requirement files over those of pip's variables, and of uv's that mean the same. As in
    /// pip, an `--index-url` in a file also replaces `PIP_EXTRA_INDEX_URL`.
    ///
    /// # Errors
    /// A variable that names an index by what is no address. Without it, its packages would be looked
    /// for elsewhere. Two variables that name another index each.
    pub(crate) fn new(
        options: &IndexOptions,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, WheelError> {
        let variable = |name: &str| environment.get(name).map_or("", String::as_str);
        let own = first_index(environment)?;
        let mut extra: Vec<PackageUrl> = variable("PIP_EXTRA_INDEX_URL")
            .split_whitespace()
            .map(|text| index_address("PIP_EXTRA_INDEX_URL", text))
            .collect::<Result<_, _>>()?;
        let mut find_links = Vec::new();
        let mut folders = Vec::new();
        let places = variable("PIP_FIND_LINKS").split_whitespace();
        let of_uv = variable("UV_FIND_LINKS").split(',').map(str::trim);
        for text in places.chain(of_uv.filter(|place| !place.is_empty())) {
            match PackageUrl::parse(text) {
                Ok(url) if !text.starts_with("file:") => find_links.push(url),
                _ => folders.push(FolderLink {
                    file: String::new(),
                    path: text.to_owned(),
                }),
            }
        }
        for link in &options.find_links_folders {
            if !folders.contains(link) {
                folders.push(link.clone());
            }
        }
        let mut formats = FormatRules::default();
        formats.no_binary(variable("PIP_NO_BINARY"));
        formats.only_binary(variable("PIP_ONLY_BINARY"));
        formats.merge(options.formats.clone());
        if options.index.is_some() {
            extra.clear();
        }
        merge(&mut extra, &options.extra_indexes);
        merge(&mut find_links, &options.find_links);
        let mut trusted_hosts = options.trusted_hosts.clone();
        trusted_hosts.extend(
            variable("PIP_TRUSTED_HOST")
                .split_whitespace()
                .map(ToOwned::to_owned),
        );
        let no_index =
            options.no_index || is_on(variable("PIP_NO_INDEX")) || is_on(variable("UV_NO_INDEX"));
        let default = options
            .index
            .clone()
            .or(own)
            .or_else(|| PackageUrl::parse(PUBLIC_INDEX).ok());
        Ok(Self {
            default: default.filter(|_| !no_index),
            extra: if no_index { Vec::new() } else { extra },
            find_links,
            folders,
            formats,
            trusted_hosts,
            pre_releases: options.pre_releases || is_on(variable("PIP_PRE")),
            named: NamedIndexes::default(),
            taken: Taken::default(),
        })
    }

    /// The same with what the project's own tool names, and says of files.
    ///
    /// # Errors
    /// A value that is not understood.
    pub(super) fn with_tool(
        mut self,
        named: NamedIndexes,
        choosing: &Choosing,
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, WheelError> {
        let mut formats = choosing.formats.clone();
        let variable = |name: &str| environment.get(name).map_or("", String::as_str);
        if is_on(variable("UV_NO_BUILD")) {
            formats.only_binary(":all:");
        }
        formats.only_binary(&variable("UV_NO_BUILD_PACKAGE").replace(' ', ","));
        if is_on(variable("UV_NO_BINARY")) {
            formats.no_binary(":all:");
        }
        formats.no_binary(&variable("UV_NO_BINARY_PACKAGE").replace(' ', ","));
        formats.merge(self.formats);
        if is_on(variable("PIP_PREFER_BINARY")) {
            formats.prefer_wheels();
        }
        self.formats = formats;
        self.named = named;
        self.taken = Taken::new(choosing, environment)?;
        Ok(self)
    }

    /// Where files are looked for that s2r itself needs. What the project's packages are held to does not hold for them:
    /// which index has which of them, until when they were uploaded, and `--no-index`.
    pub(crate) fn of_tools(&self, environment: &BTreeMap<String, String>) -> Self {
        let mut of_tools = Self {
            taken: Taken::default(),
            ..self.clone()
        };
        if self.default.is_none() {
            let mut environment = environment.clone();
            environment.retain(|name, _| name != "PIP_NO_INDEX" && name != "UV_NO_INDEX");
            if let Ok(usual) = Self::new(&IndexOptions::default(), &environment) {
                of_tools.default = usual.default;
                of_tools.extra = usual.extra;
            }
        }
        of_tools
    }

    /// Where a package is looked for: groups of indexes, each asked only for what those before it lack.
    ///
    /// # Errors
    /// The project has it come from elsewhere than an index.
    pub(super) fn groups(&self, name: &PackageName) -> Result<Vec<Vec<&PackageUrl>>, WheelError> {
        if self.default.is_none() && self.extra.is_empty() {
            // `--no-index`
            return Ok(Vec::new());
        }
        self.named.groups(self, name)
    }

    /// The variables that would hold the login of an index, where its tool has some.
    pub(super) fn login_variables(&self, index: &PackageUrl) -> Option<[String; 2]> {
        self.named.login_variables(index)
    }

    /// The indexes of pip's options, in order.
    pub(super) fn usual(&self) -> impl Iterator<Item = &PackageUrl> {
        self.default.iter().chain(&self.extra)
    }

    /// All indexes, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &PackageUrl> {
        self.usual().chain(self.named.urls())
    }

    /// The same as pip's variables, credentials included: for the resolver and no step.
    pub(crate) fn put_into(&self, environment: &mut BTreeMap<String, String>) {
        let joined = |urls: &mut dyn Iterator<Item = &PackageUrl>| {
            let urls: Vec<String> = urls.map(|url| url.reveal().reveal().to_owned()).collect();
            urls.join(" ")
        };
        let mut put = |name: &str, value: String| {
            if value.is_empty() {
                environment.remove(name);
            } else {
                environment.insert(name.to_owned(), value);
            }
        };
        put("PIP_INDEX_URL", joined(&mut self.default.iter()));
        put("PIP_EXTRA_INDEX_URL", joined(&mut self.extra.iter()));
        put("PIP_FIND_LINKS", joined(&mut self.find_links.iter()));
        put("PIP_TRUSTED_HOST", self.trusted_hosts.join(" "));
        let without = if self.default.is_none() { "1" } else { "" };
        put("PIP_NO_INDEX", without.to_owned());
        // What uv's variables say of them, pip's say now.
        for name in [
            "UV_DEFAULT_INDEX",
            "UV_INDEX_URL",
            "UV_FIND_LINKS",
            "UV_NO_INDEX",
        ] {
            put(name, String::new());
        }
    }

    /// Takes out what holds for the image alone. What builds are made with is taken as it is offered, with all that
    /// it needs, and nobody lists hashes for it.
    pub(crate) fn lift_rules_of_image(environment: &mut BTreeMap<String, String>) {
        for name in [
            "PIP_NO_BINARY",
            "UV_NO_BINARY",
            "UV_NO_BINARY_PACKAGE",
            "UV_PRERELEASE",
            "UV_RESOLUTION",
            "PIP_NO_DEPS",
            "PIP_REQUIRE_HASHES",
            "UV_REQUIRE_HASHES",
            PREFER,
        ] {
            environment.remove(name);
        }
        let bounds =
            ["PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT"].map(|name| environment.remove(name));
        let bounds: Vec<String> = bounds.into_iter().flatten().collect();
        if !bounds.is_empty() {
            environment.insert("PIP_CONSTRAINT".to_owned(), bounds.join(" "));
        }
    }

    /// Gives an address the credentials of the index that it belongs to, if any: of those on the same
    /// scheme, host and port the one whose path it shares the most of, and before others the one that
    /// told of it.
    pub(crate) fn with_credentials(
        &self,
        url: PackageUrl,
        told_by: Option<&PackageUrl>,
    ) -> PackageUrl {
        let all = told_by
            .into_iter()
            .chain(self.all())
            .chain(&self.find_links);
        let mut best: Option<(usize, &PackageUrl)> = None;
        for index in all.filter(|index| index.origin() == url.origin()) {
            let shared = shared_segments(index, &url);
            if best.is_none_or(|(most, _)| shared > most) {
                best = Some((shared, index));
            }
        }
        let credentials: Option<UrlSecret> = best.and_then(|(_, index)| index.user_info().cloned());
        match credentials {
            Some(credentials) => url.with_user_info(Some(credentials)),
            None => url,
        }
    }
}

/// How many segments the paths of two addresses on one server begin with in common.
fn shared_segments(one: &PackageUrl, other: &PackageUrl) -> usize {
    let segments = |url: &'_ PackageUrl| -> Vec<String> {
        let path = &url.without_fragment()[url.origin().len()..];
        let path = path.trim_matches('/').split('/');
        path.map(ToOwned::to_owned).collect()
    };
    let (one, other) = (segments(one), segments(other));
    one.iter().zip(&other).take_while(|(a, b)| a == b).count()
}

fn merge(list: &mut Vec<PackageUrl>, more: &[PackageUrl]) {
    for url in more {
        if !list.contains(url) {
            list.push(url.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::FormatRule;

    fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn variables_count_as_in_pip() {
        let indexes = IndexSettings::new(
            &IndexOptions::default(),
            &environment(&[
                ("PIP_INDEX_URL", "https://u:p@a/simple"),
                ("PIP_EXTRA_INDEX_URL", "https://b/simple https://c/simple"),
                ("PIP_FIND_LINKS", "/opt/wheels"),
                ("PIP_NO_BINARY", "lxml"),
                ("PIP_TRUSTED_HOST", "b"),
                ("PIP_PRE", "1"),
            ]),
        )
        .unwrap();
        for wrong in ["file:///etc/passwd", "host/simple", "https://u:a/b@h/"] {
            let variables = environment(&[("PIP_EXTRA_INDEX_URL", wrong)]);
            assert!(
                IndexSettings::new(&IndexOptions::default(), &variables).is_err(),
                "{wrong}"
            );
        }
        let all: Vec<_> = indexes.all().map(ToString::to_string).collect();
        assert_eq!(
            all,
            ["https://a/simple", "https://b/simple", "https://c/simple"]
        );
        assert_eq!(indexes.folders[0].path, "/opt/wheels");
        assert_eq!(
            indexes.formats.of(&"lxml".parse().unwrap()),
            FormatRule::Source
        );
        assert!(indexes.pre_releases);
        assert_eq!(indexes.trusted_hosts, ["b"]);
        let with = |url: &str| indexes.with_credentials(PackageUrl::parse(url).unwrap(), None);
        let file = with("https://a/files/x.whl");
        assert_eq!(file.user_info().unwrap().reveal(), "u:p");
        assert!(with("https://a:8443/x.whl").user_info().is_none());
    }

    #[test]
    fn credentials_are_those_of_the_index_that_is_nearest() {
        let variables = environment(&[
            ("PIP_INDEX_URL", "https://u:one@a/one/simple"),
            (
                "PIP_EXTRA_INDEX_URL",
                "https://u:two@a/two/simple https://a/open/simple",
            ),
        ]);
        let indexes = IndexSettings::new(&IndexOptions::default(), &variables).unwrap();
        let second = indexes.extra[0].clone();
        for (url, told_by, password) in [
            ("https://a/one/files/x.whl", None, Some("u:one")),
            ("https://a/two/files/x.whl", None, Some("u:two")),
            ("https://a/open/files/x.whl", None, None),
            ("https://a/files/x.whl", None, Some("u:one")),
            ("https://a/files/x.whl", Some(&second), Some("u:two")),
        ] {
            let url = indexes.with_credentials(PackageUrl::parse(url).unwrap(), told_by);
            assert_eq!(url.user_info().map(UrlSecret::reveal), password, "{url}");
        }
    }

    #[test]
    fn files_beat_variables_and_no_index_beats_all() {
        let mut options = IndexOptions {
            index: PackageUrl::parse("https://file/simple").ok(),
            ..IndexOptions::default()
        };
        let variables = environment(&[
            ("PIP_INDEX_URL", "https://env/simple"),
            ("PIP_EXTRA_INDEX_URL", "https://more/simple"),
        ]);
        let indexes = IndexSettings::new(&options, &variables).unwrap();
        assert_eq!(indexes.all().count(), 1);
        options.no_index = true;
        let none = IndexSettings::new(&options, &variables).unwrap();
        assert_eq!(none.all().count(), 0);
        let default = IndexSettings::new(&IndexOptions::default(), &BTreeMap::new()).unwrap();
        assert_eq!(default.default.unwrap().as_str(), PUBLIC_INDEX);
    }

    #[test]
    fn tools_are_found_without_an_index_too() {
        let options = IndexOptions {
            no_index: true,
            ..IndexOptions::default()
        };
        let variables = environment(&[
            ("PIP_INDEX_URL", "https://env/simple"),
            ("PIP_NO_INDEX", "1"),
        ]);
        let none = IndexSettings::new(&options, &variables).unwrap();
        let of_tools = none.of_tools(&variables);
        let all: Vec<_> = of_tools.all().map(ToString::to_string).collect();
        assert_eq!(
            (none.all().count(), all),
            (0, vec!["https://env/simple".to_owned()])
        );
    }

    #[test]
    fn variables_say_the_same_again() {
        let environment = BTreeMap::from(
            [
                ("PIP_INDEX_URL", "https://env/simple"),
                ("PIP_EXTRA_INDEX_URL", "https://more/simple"),
                ("OTHER", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let options = IndexOptions {
            index: PackageUrl::parse("https://u:p@own/simple").ok(),
            ..IndexOptions::default()
        };
        let indexes = IndexSettings::new(&options, &environment).unwrap();
        let mut variables = environment.clone();
        indexes.put_into(&mut variables);
        let expected = [("OTHER", "1"), ("PIP_INDEX_URL", "https://u:p@own/simple")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables, BTreeMap::from(expected));
        let again = IndexSettings::new(&IndexOptions::default(), &variables).unwrap();
        assert!(again.all().eq(indexes.all()));
    }
}
