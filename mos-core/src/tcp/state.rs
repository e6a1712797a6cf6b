//! The states of an endpoint (RFC 9293 3.3.2), with the numbers that mOS gives them.

/// The state of an emulated endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum TcpState {
    /// TCP_CLOSED
    Closed = 0,
    /// TCP_LISTEN
    Listen = 1,
    /// TCP_SYN_SENT
    SynSent = 2,
    /// TCP_SYN_RCVD
    SynRcvd = 3,
    /// TCP_ESTABLISHED
    Established = 4,
    /// TCP_FIN_WAIT_1
    FinWait1 = 5,
    /// TCP_FIN_WAIT_2
    FinWait2 = 6,
    /// TCP_CLOSE_WAIT
    CloseWait = 7,
    /// TCP_CLOSING
    Closing = 8,
    /// TCP_LAST_ACK
    LastAck = 9,
    /// TCP_TIME_WAIT
    TimeWait = 10,
}

impl TcpState {
    /// The state's name as the RFC writes it, without blanks.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynRcvd => "SYN_RCVD",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN_WAIT_1",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::CloseWait => "CLOSE_WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
        }
    }

    /// Nothing more will come of this endpoint.
    #[inline]
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Closed | Self::TimeWait)
    }

    /// The endpoint is in its handshake.
    #[inline]
    #[must_use]
    pub fn is_opening(self) -> bool {
        matches!(self, Self::Listen | Self::SynSent | Self::SynRcvd)
    }

    /// The state of an endpoint that has sent its FIN; `acknowledges`: with an acknowledgment of all that it was sent. `None`
    /// where no FIN can be sent for the first time.
    #[inline]
    #[must_use]
    pub fn after_sending_fin(self, acknowledges: bool) -> Option<Self> {
        match self {
            Self::Established => Some(Self::FinWait1),
            Self::CloseWait if acknowledges => Some(Self::LastAck),
            // It was sent before the peer's FIN arrived.
            Self::CloseWait => Some(Self::Closing),
            _ => None,
        }
    }

    /// The state of an endpoint whose FIN was acknowledged.
    #[inline]
    #[must_use]
    pub fn after_ack_of_fin(self) -> Self {
        match self {
            Self::FinWait1 => Self::FinWait2,
            Self::Closing => Self::TimeWait,
            Self::LastAck => Self::Closed,
            other => other,
        }
    }

    /// The state of an endpoint that was sent a FIN, and all before it.
    #[inline]
    #[must_use]
    pub fn after_fin(self) -> Self {
        match self {
            Self::SynRcvd | Self::Established => Self::CloseWait,
            Self::FinWait1 => Self::Closing,
            Self::FinWait2 => Self::TimeWait,
            other => other,
        }
    }
}
