//! Functions that have nothing to do with contexts.

use std::ffi::{c_char, c_int, c_uint, c_ulonglong, c_void};
use std::ptr::null_mut;

use crate::boundary::{call, status};
use crate::errno::Errno;
use crate::process;

/// Every byte of the key of mOS's Toeplitz hash: being all the same, they make it the same in both directions.
const KEY: u8 = 5;

/// mOS's hash of a flow: Toeplitz, over addresses and ports as numbers.
fn toeplitz(words: [u32; 3]) -> u32 {
    let key = u32::from_be_bytes([KEY; 4]);
    let bits = words.into_iter().flat_map(|word| (0..32).map(move |bit| word >> (31 - bit) & 1));
    let (hash, _) = bits.fold((0, key), |(hash, key), bit| {
        // The key repeats every eight bits, so the next 32 bits of it are these, turned by one.
        (if bit == 1 { hash ^ key } else { hash }, key.rotate_left(1))
    });
    hash
}

/// The queue that a network card of the kind of mOS's would choose.
fn queue(hash: u32, queues: u32) -> u32 {
    // Of the nine bits that it looks at, it changes the order in each group of four.
    const MOVES: [i32; 4] = [3, 1, -1, -3];
    let masked = hash & 0x1ff;
    masked.wrapping_add_signed(MOVES[(masked % 4) as usize]) % queues
}

/// See GetRSSCPUCore(3).
#[unsafe(no_mangle)]
pub extern "C" fn GetRSSCPUCore(sip: u32, dip: u32, sp: u16, dp: u16, num_queues: c_int) -> c_int {
    call(|| {
        let queues = u32::try_from(num_queues).ok().filter(|queues| *queues > 0).ok_or(Errno::EINVAL)?;
        // Where frames are dealt out now, the truth is known.
        let dealt = process::core_of(process::endpoint(sip, sp), process::endpoint(dip, dp), queues as usize);
        if let Some(core) = dealt {
            return Ok(core as c_int);
        }
        Ok(queue(toeplitz([sip, dip, u32::from(sp) << 16 | u32::from(dp)]), queues) as c_int)
    })
}

/// See GetNumCPUs(3).
#[unsafe(no_mangle)]
pub extern "C" fn GetNumCPUs() -> c_int {
    // SAFETY: it only asks.
    let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    c_int::try_from(cpus).unwrap_or(1).max(1)
}

/// See StrToArgs(3).
///
/// # Safety
///
/// `str` is NULL or a string that may be written; `argc` is NULL or an int; `argv` is NULL or has room for `max_argc` pointers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn StrToArgs(
    str: *mut c_char,
    argc: *mut c_int,
    argv: *mut *mut c_char,
    max_argc: c_int,
) -> c_int {
    status(|| {
        if str.is_null() || argc.is_null() || argv.is_null() {
            return Err(Errno::EFAULT);
        }
        let most = usize::try_from(max_argc).map_err(|_| Errno::EINVAL)?;
        let mut words = 0;
        let mut add = |word: *mut c_char| {
            if words < most {
                // SAFETY: the caller says that there is room for so many.
                unsafe { argv.add(words).write_unaligned(word) };
                words += 1;
            }
        };
        // SAFETY: nothing is read behind the string's end, and what is written stands within it.
        unsafe { split(str.cast::<u8>(), |word| add(word.cast())) };
        // SAFETY: the caller says so; the end is only marked where there is room.
        unsafe {
            argc.write_unaligned(words as c_int);
            if words < most {
                argv.add(words).write_unaligned(null_mut());
            }
        }
        Ok(())
    })
}

/// Splits a string where it stands: at blanks that are not in quotes, which go.
///
/// # Safety
///
/// `text` is a string that may be written.
unsafe fn split(text: *mut u8, mut word: impl FnMut(*mut u8)) {
    // SAFETY: `read` stops at the string's end; `write` is never ahead of it.
    unsafe {
        let (mut read, mut write) = (text, text);
        loop {
            while matches!(*read, b' ' | b'\t' | b'\n' | b'\r') {
                read = read.add(1);
            }
            if *read == 0 {
                return;
            }
            let (start, mut quote) = (write, 0);
            loop {
                match *read {
                    0 => break,
                    b' ' | b'\t' | b'\n' | b'\r' if quote == 0 => break,
                    byte @ (b'"' | b'\'') if quote == 0 => quote = byte,
                    byte if byte == quote => quote = 0,
                    byte => {
                        *write = byte;
                        write = write.add(1);
                    }
                }
                read = read.add(1);
            }
            let is_last = *read == 0;
            if !is_last {
                read = read.add(1);
            }
            *write = 0;
            write = write.add(1);
            word(start);
            if is_last {
                return;
            }
        }
    }
}

/// See XXH32(3).
///
/// # Safety
///
/// `input` has `length` bytes, or is NULL and `length` 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn XXH32(input: *const c_void, length: usize, seed: c_uint) -> c_uint {
    // SAFETY: the caller says so.
    xxhash_rust::xxh32::xxh32(unsafe { bytes(input, length) }, seed)
}

/// See XXH64(3).
///
/// # Safety
///
/// As [`XXH32`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn XXH64(input: *const c_void, length: usize, seed: c_ulonglong) -> c_ulonglong {
    // SAFETY: the caller says so.
    xxhash_rust::xxh64::xxh64(unsafe { bytes(input, length) }, seed)
}

/// # Safety
///
/// As [`XXH32`].
unsafe fn bytes<'a>(input: *const c_void, length: usize) -> &'a [u8] {
    if input.is_null() || length == 0 {
        return &[];
    }
    // SAFETY: the caller says so.
    unsafe { std::slice::from_raw_parts(input.cast(), length.min(isize::MAX as usize)) }
}
