//! What is said when a rule has matched.

use mos_monitor::{Conn, Side};

use super::rule::Rule;
use crate::eve::{self, Alert, AlertRecord, Outcome};

/// The line for `rule`, which has matched in what `receiver` was sent.
#[must_use]
pub(super) fn line<At>(rule: &Rule, conn: &Conn<'_, '_, At>, receiver: Side, action: Outcome) -> Vec<u8> {
    let alert = Alert {
        action,
        gid: 1,
        signature_id: rule.sid,
        rev: rule.rev,
        signature: &rule.msg,
        category: "",
        severity: rule.priority,
    };
    eve::line(&AlertRecord::new(conn, receiver, alert))
}
