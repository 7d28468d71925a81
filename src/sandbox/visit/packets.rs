//! What a packet of the sandbox's own network says: that somebody connects, is refused, or asks for a name. IPv4 (RFC 791),
//! IPv6 (RFC 8200), TCP (RFC 9293), UDP (RFC 768), DNS (RFC 1035). Whatever is longer, broken or something else is nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The port of name servers.
const DNS: u16 = 53;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet {
    /// Somebody wants a connection to this address.
    Connect(SocketAddr),
    /// This address wants none.
    Refused(SocketAddr),
    /// A name server is asked for this name.
    Question(String),
}

/// Reads a packet that begins with its IP header.
pub(super) fn read(packet: &[u8]) -> Option<Packet> {
    const TCP: u8 = 6;
    const UDP: u8 = 17;
    let (from, to, protocol, body) = match packet.first()? >> 4 {
        4 => {
            let header = usize::from(packet.first()? & 0xf) * 4;
            let address = |at| Some(Ipv4Addr::from(array::<4>(packet, at)?));
            (
                IpAddr::from(address(12)?),
                IpAddr::from(address(16)?),
                *packet.get(9)?,
                packet.get(header.max(20)..)?,
            )
        }
        6 => {
            let address = |at| Some(Ipv6Addr::from(array::<16>(packet, at)?));
            (
                IpAddr::from(address(8)?),
                IpAddr::from(address(24)?),
                *packet.get(6)?,
                packet.get(40..)?,
            )
        }
        _ => return None,
    };
    let source = u16::from_be_bytes(array(body, 0)?);
    let target = u16::from_be_bytes(array(body, 2)?);
    match protocol {
        TCP => of_flags(
            *body.get(13)?,
            SocketAddr::new(from, source),
            SocketAddr::new(to, target),
        ),
        UDP if target == DNS => question(body.get(8..)?).map(Packet::Question),
        _ => None,
    }
}

fn of_flags(flags: u8, from: SocketAddr, to: SocketAddr) -> Option<Packet> {
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;
    match flags & (SYN | RST | ACK) {
        SYN => Some(Packet::Connect(to)),
        flags if flags == RST | ACK => Some(Packet::Refused(from)),
        _ => None,
    }
}

/// The name that the first question of a message asks for.
fn question(message: &[u8]) -> Option<String> {
    const HEADER: usize = 12;
    const LABEL_LIMIT: usize = 63;
    const NAME_LIMIT: usize = 253;
    let is_query = message.get(2)? & 0x80 == 0 && array::<2>(message, 4)? == [0, 1];
    let mut rest = message.get(HEADER..).filter(|_| is_query)?;
    let mut name = String::new();
    loop {
        let (&length, after) = rest.split_first()?;
        let length = usize::from(length);
        if length == 0 {
            return (!name.is_empty()).then_some(name);
        }
        let label = after.get(..length).filter(|_| length <= LABEL_LIMIT)?;
        let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        if !label.iter().all(is_plain) || name.len() + length > NAME_LIMIT {
            return None;
        }
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(std::str::from_utf8(label).ok()?);
        rest = after.get(length..)?;
    }
}

fn array<const LENGTH: usize>(bytes: &[u8], at: usize) -> Option<[u8; LENGTH]> {
    bytes.get(at..at.checked_add(LENGTH)?)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An IPv4 packet from 127.0.0.1:4000 to 10.0.0.7.
    fn packet(protocol: u8, target: u16, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        bytes.extend([127, 0, 0, 1, 10, 0, 0, 7]);
        bytes.extend(4000_u16.to_be_bytes());
        bytes.extend(target.to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    fn tcp(flags: u8) -> Vec<u8> {
        packet(6, 5432, &[0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0])
    }

    fn dns(question: &[u8]) -> Vec<u8> {
        let mut rest = vec![0, 0, 0, 0];
        rest.extend([7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        rest.extend(question);
        packet(17, 53, &rest)
    }

    #[test]
    fn packets_say_who_seeks_whom() {
        let to = Packet::Connect("10.0.0.7:5432".parse().unwrap());
        let from = Packet::Refused("127.0.0.1:4000".parse().unwrap());
        assert_eq!(read(&tcp(0x02)), Some(to));
        assert_eq!(read(&tcp(0x14)), Some(from));
        assert_eq!(read(&tcp(0x10)), None);
        assert_eq!(read(&tcp(0x12)), None);
        let asked = read(&dns(b"\x02db\x07example\x00\x00\x01\x00\x01"));
        assert_eq!(asked, Some(Packet::Question("db.example".to_owned())));
        let mut six = vec![0x60, 0, 0, 0, 0, 0, 6, 64];
        six.extend(Ipv6Addr::LOCALHOST.octets());
        six.extend(Ipv6Addr::LOCALHOST.octets());
        six.extend([
            0x0f, 0xa0, 0x15, 0x38, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0,
        ]);
        let to = Packet::Connect("[::1]:5432".parse().unwrap());
        assert_eq!(read(&six), Some(to));
    }

    #[test]
    fn what_is_cut_or_wild_is_nothing() {
        for whole in [tcp(2), dns(b"\x02db\x00\x00\x01\x00\x01")] {
            for length in 0..33.min(whole.len()) {
                assert_eq!(read(&whole[..length]), None, "{length}");
            }
        }
        for name in [
            &b"\x00"[..],
            b"\x02d",
            b"\xc0\x0c",
            b"\x03a\x1bc\x00",
            b"\x40",
        ] {
            assert_eq!(read(&dns(name)), None, "{name:?}");
        }
        assert_eq!(read(&dns(&[b'\x01', b'a'].repeat(400))), None);
    }
}
