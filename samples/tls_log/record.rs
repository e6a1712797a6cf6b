//! The record of a handshake, field by field as it is written.

use serde::Serialize;

use super::hello::{ClientHello, ServerHello, cipher_suite_name, version_name};
use crate::eve::Header;

/// One handshake.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When both hellos, or the one that was seen, were complete.
    #[serde(flatten)]
    pub header: Header,
    /// What was agreed on.
    pub tls: TlsPart,
}

/// What was agreed on. What was not said, or not seen, is left out.
#[derive(Clone, Debug, Serialize)]
pub struct TlsPart {
    /// The server that the client wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The version that the server has chosen; `UNDETERMINED` if it was not seen to choose any.
    pub version: String,
    /// The cipher suite that the server has chosen. This is an addition to Suricata's fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher_suite: Option<String>,
    /// The protocols that the client offers to speak.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub client_alpns: Vec<String>,
    /// The one that the server has chosen.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub server_alpns: Vec<String>,
}

impl TlsPart {
    pub(super) fn new(client: ClientHello, server: Option<ServerHello>) -> Self {
        let mut part = Self {
            sni: client.name,
            version: "UNDETERMINED".to_owned(),
            cipher_suite: None,
            client_alpns: client.protocols,
            server_alpns: Vec::new(),
        };
        if let Some(ServerHello { version, cipher_suite, protocols }) = server {
            part.version = version_name(version);
            part.cipher_suite = Some(cipher_suite_name(cipher_suite));
            part.server_alpns = protocols;
        }
        part
    }
}
