//! Builds capture files of every kind, and remembers where their records start.

use super::super::record::ByteOrder;

fn put16(to: &mut Vec<u8>, order: ByteOrder, value: u16) {
    to.extend(if order == ByteOrder::Big { value.to_be_bytes() } else { value.to_le_bytes() });
}

fn put32(to: &mut Vec<u8>, order: ByteOrder, value: u32) {
    to.extend(if order == ByteOrder::Big { value.to_be_bytes() } else { value.to_le_bytes() });
}

/// A pcap file.
pub(super) struct ClassicFile {
    pub(super) bytes: Vec<u8>,
    /// Where each record starts, and whether it is a frame.
    pub(super) records: Vec<(usize, bool)>,
    order: ByteOrder,
    extra: bool,
}

impl ClassicFile {
    pub(super) fn new(order: ByteOrder, magic: u32, network: u32) -> Self {
        let mut bytes = Vec::new();
        put32(&mut bytes, order, magic);
        put16(&mut bytes, order, 2);
        put16(&mut bytes, order, 4);
        for field in [0, 0, 96, network] {
            put32(&mut bytes, order, field);
        }
        Self { bytes, records: vec![(0, false)], order, extra: magic == 0xa1b2_cd34 }
    }

    pub(super) fn frame(mut self, seconds: u32, fraction: u32, data: &[u8], wire_len: u32) -> Self {
        self = self.header(seconds, fraction, data.len() as u32, wire_len);
        self.bytes.extend(data);
        self
    }

    /// A frame without its bytes.
    pub(super) fn header(mut self, seconds: u32, fraction: u32, captured: u32, wire_len: u32) -> Self {
        self.records.push((self.bytes.len(), true));
        for field in [seconds, fraction, captured, wire_len] {
            put32(&mut self.bytes, self.order, field);
        }
        if self.extra {
            self.bytes.extend([0xee; 8]);
        }
        self
    }
}

/// A pcapng file.
#[derive(Default)]
pub(super) struct NgFile {
    pub(super) bytes: Vec<u8>,
    /// Where each record starts, and whether it is a frame.
    pub(super) records: Vec<(usize, bool)>,
    order: ByteOrder,
}

impl NgFile {
    pub(super) fn new(order: ByteOrder) -> Self {
        Self::default().section(order)
    }

    /// Any block; the body is padded.
    pub(super) fn block(mut self, block_type: u32, mut body: Vec<u8>) -> Self {
        body.resize(body.len().next_multiple_of(4), 0xee);
        self.records.push((self.bytes.len(), matches!(block_type, 2 | 3 | 6)));
        let length = body.len() as u32 + 12;
        put32(&mut self.bytes, self.order, block_type);
        put32(&mut self.bytes, self.order, length);
        self.bytes.extend(body);
        put32(&mut self.bytes, self.order, length);
        self
    }

    /// A body that starts with these fields, and goes on with these bytes.
    pub(super) fn body(&self, fields: &[u32], rest: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        for &field in fields {
            put32(&mut body, self.order, field);
        }
        body.extend(rest);
        body
    }

    pub(super) fn section(mut self, order: ByteOrder) -> Self {
        self.order = order;
        let mut body = self.body(&[0x1a2b_3c4d], &[]);
        put16(&mut body, order, 1);
        put16(&mut body, order, 0);
        body.extend([0xff; 8]);
        self.block(0x0a0d_0d0a, body)
    }

    pub(super) fn interface(self, linktype: u16, snaplen: u32, options: &[(u16, &[u8])]) -> Self {
        let mut body = Vec::new();
        put16(&mut body, self.order, linktype);
        put16(&mut body, self.order, 0);
        put32(&mut body, self.order, snaplen);
        for (code, value) in options {
            put16(&mut body, self.order, *code);
            put16(&mut body, self.order, value.len() as u16);
            body.extend(*value);
            body.resize(body.len().next_multiple_of(4), 0xee);
        }
        self.block(1, body)
    }

    pub(super) fn enhanced(self, interface: u32, ticks: u64, data: &[u8], wire_len: u32) -> Self {
        let fields = [interface, (ticks >> 32) as u32, ticks as u32, data.len() as u32, wire_len];
        let body = self.body(&fields, data);
        self.block(6, body)
    }

    pub(super) fn obsolete(self, interface: u16, ticks: u64, data: &[u8], wire_len: u32) -> Self {
        let mut body = Vec::new();
        put16(&mut body, self.order, interface);
        put16(&mut body, self.order, 7);
        let fields = [(ticks >> 32) as u32, ticks as u32, data.len() as u32, wire_len];
        body.extend(self.body(&fields, data));
        self.block(2, body)
    }

    pub(super) fn simple(self, data: &[u8], wire_len: u32) -> Self {
        let body = self.body(&[wire_len], data);
        self.block(3, body)
    }
}
