//! What the hellos of both sides say.

use tls_parser::{
    SNIType, TlsCipherSuite, TlsExtension, TlsMessage, TlsMessageHandshake, parse_tls_client_hello_extensions,
    parse_tls_message_handshake, parse_tls_server_hello_extensions,
};

/// The most protocols that are told of.
const MAX_PROTOCOLS: usize = 32;

/// The first message of one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Hello {
    Client(ClientHello),
    Server(ServerHello),
}

/// What a client asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientHello {
    /// The server it wants.
    pub(super) name: Option<String>,
    /// The protocols that it offers to speak.
    pub(super) protocols: Vec<String>,
}

/// What a server has chosen. A HelloRetryRequest is one of these (RFC 8446 4.1.4), and binds the server in version and
/// cipher suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServerHello {
    pub(super) version: u16,
    pub(super) cipher_suite: u16,
    /// The protocol to be spoken. From TLS 1.3 on it is encrypted.
    pub(super) protocols: Vec<String>,
}

/// Reads a whole message with its header.
pub(super) fn parse(message: &[u8]) -> Option<Hello> {
    let (_, TlsMessage::Handshake(message)) = parse_tls_message_handshake(message).ok()? else { return None };
    match message {
        TlsMessageHandshake::ClientHello(hello) => {
            let mut client = ClientHello::default();
            for extension in
                hello.ext.and_then(|ext| parse_tls_client_hello_extensions(ext).ok()).map_or(vec![], |(_, all)| all)
            {
                match extension {
                    TlsExtension::SNI(names) if client.name.is_none() => {
                        client.name =
                            names.iter().find(|(kind, _)| *kind == SNIType::HostName).map(|(_, name)| text(name));
                    }
                    TlsExtension::ALPN(protocols) => client.protocols = texts(&protocols),
                    _ => {}
                }
            }
            Some(Hello::Client(client))
        }
        TlsMessageHandshake::ServerHello(hello) => {
            let (version, cipher_suite) = (hello.version.0, hello.cipher.0);
            let mut server = ServerHello { version, cipher_suite, protocols: Vec::new() };
            for extension in
                hello.ext.and_then(|ext| parse_tls_server_hello_extensions(ext).ok()).map_or(vec![], |(_, all)| all)
            {
                match extension {
                    // RFC 8446 4.2.1: the version in its old place is only for the looks.
                    TlsExtension::SupportedVersions(versions) => {
                        server.version = versions.first().map_or(server.version, |version| version.0);
                    }
                    TlsExtension::ALPN(protocols) => server.protocols = texts(&protocols),
                    _ => {}
                }
            }
            Some(Hello::Server(server))
        }
        TlsMessageHandshake::ServerHelloV13Draft18(hello) => {
            let (version, cipher_suite) = (hello.version.0, hello.cipher.0);
            Some(Hello::Server(ServerHello { version, cipher_suite, protocols: Vec::new() }))
        }
        _ => None,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn texts(all: &[&[u8]]) -> Vec<String> {
    all.iter().take(MAX_PROTOCOLS).map(|bytes| text(bytes)).collect()
}

/// A version as Suricata names it.
pub(super) fn version_name(version: u16) -> String {
    match version {
        0x0300 => "SSLv3".to_owned(),
        0x0301 => "TLSv1".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        0x7f00..=0x7fff => format!("TLS 1.3 draft-{}", version & 0xff),
        _ => format!("0x{version:04x}"),
    }
}

/// A cipher suite's registered name, else its number.
pub(super) fn cipher_suite_name(number: u16) -> String {
    TlsCipherSuite::from_id(number).map_or_else(|| format!("0x{number:04x}"), |suite| suite.name.to_owned())
}
