//! What a server sought in vain, in words: which kind of service it was by its port or by the variable that names it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::sandbox::SoughtPeer;

/// Ports by which services are known, and the schemes of addresses that stand for them.
const SERVICES: &[(u16, &str, &[&str])] = &[
    (5432, "PostgreSQL", &["postgres", "postgresql"]),
    (3306, "MariaDB or MySQL", &["mysql", "mariadb"]),
    (6379, "Redis", &["redis", "rediss", "valkey"]),
    (27017, "MongoDB", &["mongodb"]),
    (5672, "RabbitMQ", &["amqp", "amqps", "pyamqp"]),
    (9200, "Elasticsearch", &["elasticsearch"]),
    (1433, "SQL Server", &["mssql"]),
    (1521, "Oracle", &["oracle"]),
    (11211, "memcached", &["memcached"]),
    (9092, "Kafka", &["kafka"]),
    (4317, "an OpenTelemetry collector", &[]),
];

/// Each peer in words: `db.example (PostgreSQL, named by DATABASE_URL)`. Values of variables are not told.
pub(super) fn describe(
    sought: &[SoughtPeer],
    environment: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut described = Vec::new();
    for peer in sought {
        let Some(text) = one(peer, environment) else {
            continue;
        };
        if !described.contains(&text) {
            described.push(text);
        }
    }
    described
}

fn one(peer: &SoughtPeer, environment: &BTreeMap<String, String>) -> Option<String> {
    let (shown, port, hosts) = match peer {
        SoughtPeer::Address(address) => (address.to_string(), Some(address.port()), hosts(address)),
        // Names of addresses and of the machine itself are asked for by servers that only want to know who they are.
        SoughtPeer::Name(name) if name == "s2r" || name.rsplit('.').next() == Some("arpa") => {
            return None;
        }
        SoughtPeer::Name(name) => (name.clone(), None, vec![name.clone()]),
    };
    let named = environment
        .iter()
        .find(|(_, value)| hosts.iter().any(|host| names(value, host, port)));
    let scheme = named.and_then(|(_, value)| value.split_once("://"));
    let kind = scheme
        .and_then(|(scheme, _)| of_scheme(scheme))
        .or_else(|| of_port(port?));
    let remarks: Vec<String> = kind
        .map(str::to_owned)
        .into_iter()
        .chain(named.map(|(name, _)| format!("named by {name}")))
        .collect();
    Some(if remarks.is_empty() {
        shown
    } else {
        format!("{shown} ({})", remarks.join(", "))
    })
}

/// How variables may write an address.
fn hosts(address: &SocketAddr) -> Vec<String> {
    let mut hosts = vec![address.ip().to_string()];
    if address.ip().is_loopback() {
        hosts.push("localhost".to_owned());
    }
    hosts
}

/// Whether a value holds a host as a word; where many may stand for one, as this machine's, the port has to be there too,
/// or a scheme that has it.
fn names(value: &str, host: &str, port: Option<u16>) -> bool {
    let is_part = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    let mut found = value.match_indices(host);
    let is_word = found.any(|(at, _)| {
        let before = value[..at].chars().next_back();
        let after = value[at + host.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    });
    let Some(port) = port.filter(|_| is_word) else {
        return is_word;
    };
    let scheme = value
        .split_once("://")
        .and_then(|(scheme, _)| of_scheme(scheme));
    value.contains(&format!(":{port}")) || scheme.is_some() && scheme == of_port(port)
}

fn of_port(port: u16) -> Option<&'static str> {
    SERVICES
        .iter()
        .find(|(known, _, _)| *known == port)
        .map(|(_, name, _)| *name)
}

/// What stands before a `+` counts: `postgresql+psycopg2`.
fn of_scheme(scheme: &str) -> Option<&'static str> {
    let plain = scheme.split('+').next().unwrap_or(scheme);
    SERVICES
        .iter()
        .find(|(_, _, schemes)| schemes.contains(&plain))
        .map(|(_, name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_told_by_port_and_variable() {
        let environment: BTreeMap<String, String> = [
            ("DATABASE_URL", "postgresql+psycopg2://me:secret@db/shop"),
            ("CACHE", "redis://localhost/0"),
            ("SEARCH_HOST", "search.example"),
            ("HOME", "/opt/db-files"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
        let name = |name: &str| SoughtPeer::Name(name.to_owned());
        let address = |text: &str| SoughtPeer::Address(text.parse().unwrap());
        let sought = [
            name("db"),
            address("127.0.0.1:6379"),
            name("search.example"),
            address("10.0.0.7:3306"),
            address("10.0.0.7:9"),
            name("7.0.0.10.in-addr.arpa"),
            name("db"),
        ];
        assert_eq!(
            describe(&sought, &environment),
            [
                "db (PostgreSQL, named by DATABASE_URL)",
                "127.0.0.1:6379 (Redis, named by CACHE)",
                "search.example (named by SEARCH_HOST)",
                "10.0.0.7:3306 (MariaDB or MySQL)",
                "10.0.0.7:9",
            ]
        );
    }
}
