//! One core: what becomes of each packet.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use mos_core::time::Timestamp;
use mos_monitor::{OrphanCx, Rewrite, Side, SndCx, UnseenCx};

use super::config::Way;
use super::icmp::{Message, set_identifier};
use super::pool::Pool;
use super::quote::{End, Quote};
use super::stats::{Count, Protocol};
use super::table::Table;
use super::{Connection, Flow, Shared, report};

/// That ports have run out is said so often at most.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a packet is dropped; `None`: there was no port, which has been counted.
type Verdict = Result<(), Option<Count>>;

/// One core of the NAT.
#[derive(Debug)]
pub(super) struct Translator {
    pub(super) shared: Arc<Shared>,
    core: usize,
    pub(super) pool: Pool,
    pub(super) table: Table,
    /// When it was last said that ports have run out, and how many packets were dropped since.
    said: Option<Timestamp>,
    unsaid: u64,
}

impl Translator {
    pub(super) fn new(shared: Arc<Shared>, core: usize) -> Self {
        assert!(core < shared.plan.cores, "the NAT was made for {} cores", shared.plan.cores);
        let (pool, table) = (Pool::new(Arc::clone(&shared), core), Table::new(&shared.plan));
        Self { shared, core, pool, table, said: None, unsaid: 0 }
    }

    fn count(&self, count: Count) {
        self.shared.board.count(self.core, count);
    }

    /// A packet of a TCP flow, on its way from inside or back.
    pub(super) fn on_segment(cx: &mut SndCx<'_, '_, Self, Flow>) {
        if cx.flow.mapping.is_none() {
            cx.flow.mapping = Self::connect(cx);
        }
        let Some(Connection { inside, outside, .. }) = cx.flow.mapping else {
            cx.conn.drop_packet();
            return;
        };
        let rewritten = match cx.conn.side() {
            Side::Client => cx.conn.rewrite().src(*outside.ip(), outside.port()).apply(),
            Side::Server => cx.conn.rewrite().dst(*inside.ip(), inside.port()).apply(),
        };
        if rewritten.is_err() {
            // What came in fragments was dropped in fragments.
            cx.conn.drop_packet();
        }
    }

    /// The flow's mapping, made for its first packet or, if there was no port then, for a later one.
    fn connect(cx: &mut SndCx<'_, '_, Self, Flow>) -> Option<Connection> {
        if cx.conn.side() == Side::Server {
            return None;
        }
        let view = cx.conn.packet()?;
        let (SocketAddr::V4(inside), SocketAddr::V4(server)) = (view.source(), view.destination()) else { return None };
        let now = cx.conn.now();
        let outside = cx.state.allot(Protocol::Tcp, inside, server, now)?;
        Some(Connection { inside, outside, server })
    }

    /// A flow that had a mapping is over.
    pub(super) fn disconnect(&mut self, &Connection { inside, outside, server }: &Connection) {
        self.release(Protocol::Tcp, inside, outside, server);
    }

    /// An address and a port for a new mapping.
    fn allot(
        &mut self,
        protocol: Protocol,
        inside: SocketAddrV4,
        remote: SocketAddrV4,
        now: Timestamp,
    ) -> Option<SocketAddrV4> {
        let Some(outside) = self.pool.take(protocol, *inside.ip(), remote) else {
            self.report_exhaustion(protocol, inside, remote, now);
            return None;
        };
        self.shared.directory.insert(self.core, protocol, inside, outside, remote);
        Some(outside)
    }

    fn release(&mut self, protocol: Protocol, inside: SocketAddrV4, outside: SocketAddrV4, remote: SocketAddrV4) {
        self.shared.directory.remove(self.core, protocol, inside, outside, remote);
        self.pool.give_back(protocol, outside);
    }

    fn report_exhaustion(&mut self, protocol: Protocol, inside: SocketAddrV4, remote: SocketAddrV4, now: Timestamp) {
        self.unsaid += 1;
        if self.said.is_some_and(|said| now.saturating_since(said) < PATIENCE) {
            return;
        }
        let text = report::exhaustion(protocol, self.core, inside, remote, self.unsaid);
        log::warn!("{text}");
        self.shared.output.write(format!("{text}\n").as_bytes());
        (self.said, self.unsaid) = (Some(now), 0);
    }

    /// What is over is cleared away.
    fn expire(&mut self, now: Timestamp) {
        while let Some(mapping) = self.table.expired(now) {
            self.release(mapping.protocol, mapping.inside, mapping.outside, mapping.remote);
        }
    }

    /// A second is over.
    pub(super) fn on_second(&mut self, now: Timestamp) {
        self.expire(now);
        if self.core == 0 {
            self.shared.output.write(report::table(&self.shared.board.stats()).as_bytes());
        }
    }

    /// A packet that goes on unless it is dropped here.
    pub(super) fn on_unseen(cx: &mut UnseenCx<'_, Self>) {
        let view = cx.packet();
        if cx.state.shared.plan.way(&view) == Way::Pass {
            return;
        }
        // The first fragment alone has ports, and on several cores the others come to another one.
        let is_fragment = view.packet.kind == mos_core::wire::PacketKind::Fragment;
        if cx.drop_packet() {
            cx.state.count(if is_fragment { Count::Fragments } else { Count::BadChecksums });
        }
    }

    /// A packet that belongs to no flow.
    pub(super) fn on_orphan(cx: &mut OrphanCx<'_, Self>) {
        let view = cx.packet();
        let way = cx.state.shared.plan.way(&view);
        // The fragments of a datagram were dropped.
        if way == Way::Pass || cx.came_in_fragments() {
            return;
        }
        let (SocketAddr::V4(src), SocketAddr::V4(dst)) = (view.source(), view.destination()) else { return };
        let (message, now) = (Message::read(&view), cx.now());
        cx.state.expire(now);
        let verdict = match (message, way) {
            (Message::Udp, Way::Out) => send(cx, Protocol::Udp, src, dst, None),
            (Message::Udp, Way::In) => receive(cx, Protocol::Udp, src, dst),
            (Message::Udp, Way::Hairpin) => turn_back(cx, src, dst),
            (Message::Request(identifier), Way::Out) => {
                let src = SocketAddrV4::new(*src.ip(), identifier);
                send(cx, Protocol::Icmp, src, dst, Some(identifier))
            }
            (Message::Reply(identifier), Way::In) => {
                receive(cx, Protocol::Icmp, src, SocketAddrV4::new(*dst.ip(), identifier))
            }
            (Message::Error(quote), Way::Out) => error_out(cx, &quote, dst),
            (Message::Error(quote), Way::In) => error_in(cx, &quote, dst),
            (Message::Other | Message::Reply(_), Way::Out) => Err(Some(Count::Untranslatable)),
            _ => Err(Some(Count::NoMapping)),
        };
        if let Err(count) = verdict {
            cx.drop_packet();
            if let Some(count) = count {
                cx.state.count(count);
            }
        }
    }

    /// Where packets from `inside` to `remote` come from; a new mapping if there is none.
    fn map(
        &mut self,
        protocol: Protocol,
        inside: SocketAddrV4,
        remote: SocketAddrV4,
        now: Timestamp,
    ) -> Result<SocketAddrV4, Option<Count>> {
        if let Some(outside) = self.table.outbound(protocol, inside, remote, now) {
            return Ok(outside);
        }
        let outside = self.allot(protocol, inside, remote, now).ok_or(None)?;
        self.table.insert(protocol, inside, outside, remote, now);
        Ok(outside)
    }
}

/// Changes the addresses and ports, and the identifier of an echo.
fn change(cx: &mut OrphanCx<'_, Translator>, rewrite: &Rewrite, identifier: Option<u16>) -> Verdict {
    let edited = cx.edit_frame(|frame, packet| {
        rewrite.apply(frame, packet)?;
        if let Some(identifier) = identifier {
            set_identifier(frame, packet, identifier);
        }
        Ok::<_, mos_monitor::EditError>(())
    });
    if matches!(edited, Ok(Ok(()))) { Ok(()) } else { Err(Some(Count::Untranslatable)) }
}

/// UDP or an echo from inside. `src` has the identifier of an echo for a port.
fn send(
    cx: &mut OrphanCx<'_, Translator>,
    protocol: Protocol,
    src: SocketAddrV4,
    dst: SocketAddrV4,
    echo: Option<u16>,
) -> Verdict {
    let now = cx.now();
    let outside = cx.state.map(protocol, src, dst, now)?;
    let rewrite = Rewrite { src: Some(outside.into()), ..Rewrite::default() };
    change(cx, &rewrite, echo.map(|_| outside.port()))
}

/// An answer to these. `dst` has the identifier of an echo for a port.
fn receive(cx: &mut OrphanCx<'_, Translator>, protocol: Protocol, src: SocketAddrV4, dst: SocketAddrV4) -> Verdict {
    let now = cx.now();
    let inside = cx.state.table.inbound(protocol, dst, src, now).ok_or(Some(Count::NoMapping))?;
    let rewrite = Rewrite { dst: Some(inside.into()), ..Rewrite::default() };
    change(cx, &rewrite, (protocol == Protocol::Icmp).then_some(inside.port()))
}

/// UDP from inside to an address of the NAT: for another host inside, if that has a mapping.
fn turn_back(cx: &mut OrphanCx<'_, Translator>, src: SocketAddrV4, dst: SocketAddrV4) -> Verdict {
    if !cx.state.shared.plan.is_endpoint_independent() {
        return Err(Some(Count::NoMapping));
    }
    let now = cx.now();
    if cx.state.table.inbound(Protocol::Udp, dst, src, now).is_none() {
        return Err(Some(Count::NoMapping));
    }
    //= RFC 4787 section 6, REQ-9: the other host sees the address outside, as anybody would.
    let outside = cx.state.map(Protocol::Udp, src, dst, now)?;
    let inside = cx.state.table.inbound(Protocol::Udp, dst, outside, now).ok_or(Some(Count::NoMapping))?;
    let rewrite = Rewrite { src: Some(outside.into()), dst: Some(inside.into()), ..Rewrite::default() };
    change(cx, &rewrite, None)?;
    cx.state.count(Count::Hairpinned);
    Ok(())
}

/// An error from outside, about what somebody inside has sent.
fn error_in(cx: &mut OrphanCx<'_, Translator>, quote: &Quote, dst: SocketAddrV4) -> Verdict {
    //= RFC 5508 section 4.2, REQ-4: it goes to whom the quoted packet came from, and quotes it as it was.
    let shared = &cx.state.shared;
    let inside = shared.directory.inside(&shared.plan, quote.protocol, quote.src, quote.dst);
    let inside = inside.filter(|_| quote.src.ip() == dst.ip()).ok_or(Some(Count::NoMapping))?;
    translate_error(cx, quote, End::Src, inside, |end| Rewrite { dst: Some(end), ..Rewrite::default() })
}

/// An error from inside, about what somebody outside has sent.
fn error_out(cx: &mut OrphanCx<'_, Translator>, quote: &Quote, dst: SocketAddrV4) -> Verdict {
    //= RFC 5508 section 4.2, REQ-5: it comes from the address that the quoted packet went to, whoever inside has sent it.
    let shared = &cx.state.shared;
    let outside = shared.directory.outside(&shared.plan, quote.protocol, quote.dst, quote.src);
    let outside = outside.filter(|_| quote.src.ip() == dst.ip()).ok_or(Some(Count::NoMapping))?;
    translate_error(cx, quote, End::Dst, outside, |end| Rewrite { src: Some(end), ..Rewrite::default() })
}

fn translate_error(
    cx: &mut OrphanCx<'_, Translator>,
    quote: &Quote,
    which: End,
    new: SocketAddrV4,
    outer: impl FnOnce(SocketAddr) -> Rewrite,
) -> Verdict {
    let rewrite = outer(new.into());
    let edited = cx.edit_frame(|frame, packet| {
        let done = rewrite.apply(frame, packet);
        if done.is_ok() {
            quote.translate(frame, which, new);
        }
        done
    });
    if !matches!(edited, Ok(Ok(()))) {
        return Err(Some(Count::Untranslatable));
    }
    cx.state.count(Count::Errors);
    Ok(())
}
