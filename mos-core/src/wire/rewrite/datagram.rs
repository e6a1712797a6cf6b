//! The same for IP packets that are not TCP: addresses and the rest of the IP header, and UDP's ports.
//!
//! Of the checksums behind the IP header, those of UDP and ICMPv6 are known to cover the addresses, and are updated.

#[cfg(test)]
mod tests;

use super::super::edit::extent::{Change, Extent};
use super::super::edit::{EditError, Layer};
use super::super::packet::Packet;
use super::super::u16_at;
use super::Rewrite;

const UDP: u8 = 17;
const UDP_LEN: usize = 8;
const UDP_FIELD: usize = 6;
const ICMP_V6: u8 = 58;
const ICMP_V6_FIELD: usize = 2;

/// Changes a packet that was found to have what is changed.
pub(super) fn apply(rewrite: &Rewrite, frame: &mut [u8], packet: &Packet) -> Result<(), EditError> {
    let extent = Extent::of(frame, packet, Layer::Ip)?;
    let is_v4 = packet.ip_version == 4;
    let len = if is_v4 { 20 } else { 40 };
    let mut ip = [0; 40];
    let header = packet.network_header(frame).get(..len).ok_or(EditError::NoLayer { layer: Layer::Ip })?;
    ip.iter_mut().zip(header).for_each(|(copy, byte)| *copy = *byte);
    let has_udp = packet.protocol == UDP && extent.end - extent.transport >= UDP_LEN;
    if !has_udp && (rewrite.src_port.is_some() || rewrite.dst_port.is_some() || packet.protocol == UDP) {
        return Err(EditError::NoPorts);
    }
    // The rest cannot fail.
    let before = extent.ip_sums(frame);
    rewrite.change_ip(&mut ip, is_v4);
    if let Some(header) = frame.get_mut(extent.network..extent.network + len) {
        header.iter_mut().zip(ip).for_each(|(byte, copy)| *byte = copy);
    }
    let after = extent.ip_sums(frame);
    extent.update_ipv4(frame, before.header, after.header);
    let mut change = Change::default();
    change.replace_sum(before.addresses, after.addresses);
    if has_udp {
        if let Some(ports) = frame.get_mut(extent.transport..extent.transport + 4) {
            let old: [u8; 4] = first_four(ports);
            rewrite.change_ports(ports);
            change.replace(&old, ports, 0);
        }
        update_udp(frame, extent.transport + UDP_FIELD, change);
    } else if !is_v4 && packet.protocol == ICMP_V6 && extent.end - extent.transport >= ICMP_V6_FIELD + 2 {
        change.apply(frame, extent.transport + ICMP_V6_FIELD);
    }
    Ok(())
}

fn first_four(bytes: &[u8]) -> [u8; 4] {
    bytes.first_chunk().copied().unwrap_or_default()
}

/// Updates the checksum of UDP.
fn update_udp(frame: &mut [u8], field: usize, change: Change) {
    //= RFC 768: no checksum is written as 0, ...
    if u16_at(frame, field) == Some(0) {
        return;
    }
    change.apply(frame, field);
    // ... and one that is 0 as the other zero of ones' complement.
    if let Some(field) = frame.get_mut(field..field + 2)
        && *field == [0, 0]
    {
        field.copy_from_slice(&[0xff, 0xff]);
    }
}
