//! What the system knows about an interface (netdevice(7), getifaddrs(3)).

use std::ffi::{CStr, CString};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd};

use super::checked;
use super::socket::PacketSocket;

/// The index of the interface of that name in the namespace of the calling thread.
#[allow(unsafe_code)]
pub(in crate::io) fn index_of(name: &str) -> io::Result<i32> {
    let name = CString::new(name)?;
    // SAFETY: the name is a string that ends in a zero, and lives across the call.
    let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
    if index == 0 { Err(io::Error::last_os_error()) } else { Ok(index as i32) }
}

/// The interface's state: [`libc::IFF_UP`], [`libc::IFF_RUNNING`] and others, as bits.
#[allow(unsafe_code)]
pub(in crate::io) fn flags(socket: &PacketSocket, index: i32) -> io::Result<libc::c_int> {
    let request = ask(socket, index, libc::SIOCGIFFLAGS)?;
    // SAFETY: that is the field which this question is answered in; any bytes are a valid number.
    Ok(unsafe { request.ifr_ifru.ifru_flags }.into())
}

/// The bytes of the longest packet that the interface sends, without its link header.
#[allow(unsafe_code)]
pub(in crate::io) fn mtu(socket: &PacketSocket, index: i32) -> io::Result<usize> {
    let request = ask(socket, index, libc::SIOCGIFMTU)?;
    // SAFETY: that is the field which this question is answered in; any bytes are a valid number.
    Ok(usize::try_from(unsafe { request.ifr_ifru.ifru_mtu }).unwrap_or(0))
}

/// Asks about an interface by its index: it may have been given another name.
#[allow(unsafe_code)]
fn ask(socket: &PacketSocket, index: i32, question: libc::Ioctl) -> io::Result<libc::ifreq> {
    // SAFETY: zeros are valid values of every field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index;
    for question in [libc::SIOCGIFNAME as libc::Ioctl, question] {
        // SAFETY: these questions read and write a `struct ifreq` and nothing else; it is one, and lives across the call.
        checked(unsafe { libc::ioctl(socket.as_fd().as_raw_fd(), question, &raw mut request) })?;
    }
    Ok(request)
}

/// The addresses of the interface of that name, with the lengths of their networks' prefixes.
#[allow(unsafe_code)]
pub(in crate::io) fn addresses(name: &str) -> io::Result<Vec<(IpAddr, u8)>> {
    let mut list = std::ptr::null_mut();
    // SAFETY: the system writes one pointer.
    checked(unsafe { libc::getifaddrs(&raw mut list) })?;
    let mut addresses = Vec::new();
    let mut next = list;
    // SAFETY: the list is as getifaddrs(3) made it and is freed only after the loop: every entry is valid until then, names are
    // strings, and addresses and masks are null or of the type that their family says.
    unsafe {
        while let Some(entry) = next.as_ref() {
            next = entry.ifa_next;
            if CStr::from_ptr(entry.ifa_name).to_bytes() == name.as_bytes() {
                let prefix = address(entry.ifa_netmask).map_or(0, |mask| match mask {
                    IpAddr::V4(mask) => mask.to_bits().count_ones() as u8,
                    IpAddr::V6(mask) => mask.to_bits().count_ones() as u8,
                });
                addresses.extend(address(entry.ifa_addr).map(|address| (address, prefix)));
            }
        }
        libc::freeifaddrs(list);
    }
    Ok(addresses)
}

/// The IP address that a socket address holds, if it holds one.
///
/// # Safety
///
/// The pointer is null, or valid for the type that its family says.
#[allow(unsafe_code)]
unsafe fn address(address: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: valid or null, as the caller says.
    let family = unsafe { address.as_ref() }?.sa_family;
    match libc::c_int::from(family) {
        libc::AF_INET => {
            // SAFETY: this family's addresses are of this type.
            let octets = unsafe { (*address.cast::<libc::sockaddr_in>()).sin_addr.s_addr };
            Some(Ipv4Addr::from_bits(u32::from_be(octets)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: this family's addresses are of this type.
            let octets = unsafe { (*address.cast::<libc::sockaddr_in6>()).sin6_addr.s6_addr };
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}
