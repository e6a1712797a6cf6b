//! The numbers that capture files use for link types (the registry at tcpdump.org/linktypes.html).

use crate::packet::LinkType;

/// The link type that `number` stands for; `None` if the stack does not read it.
pub(super) fn from_number(number: u32) -> Option<LinkType> {
    Some(match number {
        0 | 108 => LinkType::Null,
        1 => LinkType::Ethernet,
        12 | 14 | 101 | 228 | 229 => LinkType::RawIp,
        113 => LinkType::LinuxSll,
        276 => LinkType::LinuxSll2,
        _ => return None,
    })
}

/// The number that a new file gives `link`.
pub(super) fn to_number(link: LinkType) -> u32 {
    match link {
        LinkType::Null => 0,
        LinkType::Ethernet => 1,
        LinkType::RawIp => 101,
        LinkType::LinuxSll => 113,
        LinkType::LinuxSll2 => 276,
    }
}
