//! The kernel's tables of TCP sockets, `/proc/PID/net/tcp` and `tcp6` (`proc_net_tcp` in the kernel's documentation).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `TCP_LISTEN` of `net/tcp_states.h`.
const LISTENING: &str = "0A";

/// The addresses that are listened on, of one table.
pub(super) fn listeners(table: &str) -> Vec<SocketAddr> {
    table.lines().skip(1).filter_map(listener).collect()
}

/// A line: number, own address, other address, state, and more.
fn listener(line: &str) -> Option<SocketAddr> {
    let mut fields = line.split_whitespace().skip(1);
    let own = fields.next()?;
    let state = fields.nth(1)?;
    let (address, port) = own.split_once(':').filter(|_| state == LISTENING)?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let digits = address.get(at..at + 8)?;
        // Words of four bytes, as they lie in memory.
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let address = match address.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = Vec::with_capacity(16);
            for at in [0, 8, 16, 24] {
                bytes.extend(word(at)?);
            }
            IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))
        }
        _ => return None,
    };
    // An IPv4 address in a socket of IPv6 is that address.
    Some(SocketAddr::new(address.to_canonical(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_are_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n   \
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n   \
             1: 00000000:1389 00000000:0000 0A 00000000:00000000 00:00000000\n   \
             2: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000\n   3: nonsense\n";
        let shown: Vec<_> = listeners(table).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["127.0.0.1:8080", "0.0.0.0:5001"]);
        let table = "header\n 0: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A 0\n \
             1: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0\n \
             2: 0000000000000000FFFF00000100007F:0051 00000000000000000000000000000000:0000 0A 0\n";
        let shown: Vec<_> = listeners(table).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["[::]:8080", "[::1]:80", "127.0.0.1:81"]);
    }

    #[test]
    fn a_listener_of_our_own_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap();
        let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
        assert!(listeners(&table).contains(&own));
    }
}
