//! Places that a server elsewhere has no reason to send us to: this machine and the networks behind it.
//! Redirects, and the places of uploads, could otherwise have us ask or feed a neighbour of ours.

use std::net::{IpAddr, Ipv4Addr};

use reqwest::Url;

use crate::net::http::trust::is_loopback;

/// Whether `from` sends us to an address inside a private network, without being there itself.
pub(super) fn leads_inward(from: &Url, to: &Url) -> bool {
    leads_here(from, to) || leads_inside(from, to)
}

/// Whether a server elsewhere sends us to this machine or to a link-local address, where machines keep
/// their own metadata services: not even one of a private network has a reason for that.
fn leads_here(from: &Url, to: &Url) -> bool {
    let inward = |url: &Url| {
        let host = url.host_str().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let link_local = match bare.parse::<IpAddr>() {
            Ok(IpAddr::V4(v4)) => v4.is_link_local() || v4.is_unspecified(),
            Ok(IpAddr::V6(v6)) => {
                v6.is_unicast_link_local()
                    || v6.is_unspecified()
                    || v6
                        .to_ipv4_mapped()
                        .is_some_and(|v4| v4.is_link_local() || v4.is_loopback())
            }
            Err(_) => false,
        };
        link_local || is_loopback(host)
    };
    from.host_str() != to.host_str() && inward(to) && !inward(from)
}

/// Whether a server of the public network sends us into a private one.
fn leads_inside(from: &Url, to: &Url) -> bool {
    from.host_str() != to.host_str() && is_inside(to, false) && !is_inside(from, true)
}

/// Whether a URL names a place that is not on the public network. A name may be one, if it looks so;
/// only addresses are refused, because a name's owner has chosen where it leads.
fn is_inside(url: &Url, by_name: bool) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(v4)) => is_private(v4),
        Ok(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(v4),
            None => {
                v6.is_loopback()
                    || v6.is_unspecified()
                    || v6.is_unique_local()
                    || v6.is_unicast_link_local()
            }
        },
        Err(_) => is_loopback(host) || (by_name && is_inner_name(bare)),
    }
}

fn is_private(v4: Ipv4Addr) -> bool {
    let [first, second, ..] = v4.octets();
    v4.is_private()
        || v4.is_loopback()
        || v4.is_link_local()
        || v4.is_unspecified()
        // Shared by a provider's customers (RFC 6598).
        || (first == 100 && second & 0xC0 == 64)
}

/// Names that no public server has (RFC 6762, RFC 8375, and what clusters and offices use).
fn is_inner_name(name: &str) -> bool {
    const ENDINGS: [&str; 8] = [
        "local", "internal", "lan", "home", "corp", "intranet", "svc", "test",
    ];
    let name = name.trim_end_matches('.');
    name.rsplit_once('.')
        .is_none_or(|(_, ending)| ENDINGS.contains(&ending))
        || name.ends_with(".home.arpa")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn nobody_outside_sends_us_inside() {
        let cases = [
            ("https://h/", "https://127.0.0.1/", true),
            ("https://h/", "https://localhost/", true),
            ("https://h/", "http://169.254.169.254/", true),
            ("https://h/", "http://[fe80::1]/", true),
            ("https://h/", "http://[::ffff:169.254.169.254]/", true),
            ("https://h/", "https://10.1.2.3/", false),
            ("https://h.example/", "https://10.1.2.3/", true),
            ("https://h.example/", "https://[fd00::1]/", true),
            ("https://10.1.2.4/", "https://127.0.0.1/", true),
            ("https://10.1.2.4/", "https://10.1.2.3/", false),
            ("https://h/", "https://cdn.example/", false),
            ("http://127.0.0.1:1/", "http://localhost:2/", false),
        ];
        for (from, to, inward) in cases {
            assert_eq!(leads_inward(&url(from), &url(to)), inward, "{from} {to}");
        }
    }

    #[test]
    fn a_public_registry_does_not_lead_inside() {
        for (from, to, inside) in [
            (
                "https://registry.example.com",
                "https://s3.example.com/x",
                false,
            ),
            ("https://registry.example.com", "https://10.0.0.1/x", true),
            ("https://registry.example.com", "https://[fd00::1]/x", true),
            (
                "https://registry.example.com",
                "https://[::ffff:192.168.0.1]/x",
                true,
            ),
            ("https://registry.example.com", "https://100.64.0.1/x", true),
            (
                "https://registry.example.com",
                "https://203.0.113.5/x",
                false,
            ),
            ("https://10.0.0.1", "https://10.0.0.2/x", false),
            ("https://registry", "https://10.0.0.2/x", false),
            (
                "https://image-registry.openshift-image-registry.svc:5000",
                "https://10.0.0.2/x",
                false,
            ),
            ("http://127.0.0.1:5000", "http://localhost:9000/x", false),
            ("http://127.0.0.1:5000", "http://127.0.0.1:9000/x", false),
        ] {
            assert_eq!(leads_inside(&url(from), &url(to)), inside, "{from} {to}");
        }
    }
}
