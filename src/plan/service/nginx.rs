//! nginx in front of the application: its settings, and the folders that it sends itself.
//!
//! Directives: nginx.org/en/docs/dirindex.html.

use std::fmt::Write as _;

use super::NOTES_FOLDER;
use crate::plan::SOURCE_FOLDER;
use crate::project::settings::StaticFolder;

/// The project's own settings, and the name of the note that stands for them.
pub(crate) const SETTINGS: &str = "nginx.conf";
/// Debian's package of it. `nginx-light` is this one with a module more.
pub(crate) const DEBIAN_PACKAGE: &str = "nginx";
/// A package of it whose script makes folders for logs and pages, neither of which an image with `front` has.
pub(crate) const SCRIPTED_PACKAGE: &str = "nginx-common";

/// How nginx asks the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpstreamProtocol {
    Http,
    Uwsgi,
}

/// Where nginx reads its settings in the image.
pub(crate) fn settings_path(has_own_settings: bool) -> String {
    if has_own_settings {
        format!("{SOURCE_FOLDER}/{SETTINGS}")
    } else {
        format!("{NOTES_FOLDER}/{SETTINGS}")
    }
}

pub(crate) fn settings(folders: &[StaticFolder], protocol: UpstreamProtocol) -> String {
    const TEMPLATE: &str = include_str!("../../../scripts/nginx.conf");
    TEMPLATE
        .replace("@STATIC@", &locations(folders))
        .replace("@PASS@", pass(protocol))
        .replace("@STREAM@", stream(protocol))
}

fn locations(folders: &[StaticFolder]) -> String {
    let mut text = String::new();
    for StaticFolder { url, folder } in folders {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "
        location ^~ {url}/ {{
            alias \"{SOURCE_FOLDER}/{}/\";
            expires 1h;
            # All files of an image have one time, so that two versions of one length would have one tag.
            etag off;
            if_modified_since off;
            add_header Last-Modified \"\";
        }}
",
            folder.value
        );
    }
    text
}

fn pass(protocol: UpstreamProtocol) -> &'static str {
    match protocol {
        UpstreamProtocol::Http => {
            "            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Host $application_host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $forwarded_proto;
            proxy_set_header X-Forwarded-Host $forwarded_host;
            proxy_set_header X-Request-ID $the_request_id;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
"
        }
        UpstreamProtocol::Uwsgi => {
            "            uwsgi_pass application;
            uwsgi_param QUERY_STRING $query_string;
            uwsgi_param REQUEST_METHOD $request_method;
            uwsgi_param CONTENT_TYPE $content_type;
            uwsgi_param CONTENT_LENGTH $content_length;
            uwsgi_param REQUEST_URI $request_uri;
            uwsgi_param PATH_INFO $document_uri;
            uwsgi_param DOCUMENT_ROOT $document_root;
            uwsgi_param SERVER_PROTOCOL $server_protocol;
            uwsgi_param REMOTE_ADDR $remote_addr;
            uwsgi_param REMOTE_PORT $remote_port;
            uwsgi_param SERVER_PORT $server_port;
            uwsgi_param SERVER_NAME $server_name;
            uwsgi_param HTTP_HOST $application_host;
            uwsgi_param UWSGI_SCHEME $forwarded_proto;
            uwsgi_param HTTP_X_FORWARDED_FOR $proxy_add_x_forwarded_for;
            uwsgi_param HTTP_X_FORWARDED_PROTO $forwarded_proto;
            uwsgi_param HTTP_X_FORWARDED_HOST $forwarded_host;
            uwsgi_param HTTP_X_REQUEST_ID $the_request_id;
"
        }
    }
}

fn stream(protocol: UpstreamProtocol) -> &'static str {
    match protocol {
        UpstreamProtocol::Http => {
            "            proxy_buffering off;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
"
        }
        UpstreamProtocol::Uwsgi => {
            "            uwsgi_buffering off;
            uwsgi_read_timeout 1h;
            uwsgi_send_timeout 1h;
"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::SourcePlace;
    use crate::project::settings::Setting;

    #[test]
    fn nothing_of_the_template_is_left_open() {
        let folder = |url: &str, folder: &str| StaticFolder {
            url: url.to_owned(),
            folder: Setting {
                value: folder.to_owned(),
                place: SourcePlace::file("s2r.yaml"),
            },
        };
        let folders = [folder("/static", "site static"), folder("/media", "m")];
        for (protocol, pass) in [
            (UpstreamProtocol::Http, "proxy_pass http://application;"),
            (UpstreamProtocol::Uwsgi, "uwsgi_pass application;"),
        ] {
            let text = settings(&folders, protocol);
            assert!(!text.replace("@stream", "").contains('@'), "{text}");
            assert_eq!(text.matches('{').count(), text.matches('}').count());
            for line in [
                "location ^~ /static/ {",
                "alias \"/opt/app-root/src/site static/\";",
                "location ^~ /media/ {",
                pass,
            ] {
                assert!(text.contains(line), "{line}");
            }
        }
    }
}
