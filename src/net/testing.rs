//! A server for tests: speaks HTTP/1.1 on loopback by a script.
