//! The record of a transaction, field by field as it is written.

use serde::Serialize;

use super::conversation::Transaction;
use super::head::{Request, Response};
use crate::eve::Header;

/// One transaction.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// When the response was complete; for a request without one, when there was no hope of it.
    #[serde(flatten)]
    pub header: Header,
    /// Its number in the connection, from 0.
    pub tx_id: u64,
    /// What was said.
    pub http: HttpPart,
}

/// What was said in a transaction. What was not said, or not seen, is left out.
#[derive(Clone, Debug, Default, Serialize)]
pub struct HttpPart {
    /// The host that the client wants, without its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Its port, if the client names one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_port: Option<u16>,
    /// The target as it stands in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The client's User-Agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_user_agent: Option<String>,
    /// The response's Content-Type, without parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_content_type: Option<String>,
    /// The request's Referer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_refer: Option<String>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_method: Option<String>,
    /// The version of the request, else of the response.
    pub protocol: String,
    /// The status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Where a response of the 3xx class sends the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// Bytes of the response's body, without transfer coding.
    pub length: u64,
}

impl HttpPart {
    pub(super) fn new(transaction: Transaction) -> Self {
        let Transaction { request, response, length, .. } = transaction;
        let mut part = Self { length, ..Self::default() };
        if let Some(Response { version, status, content_type, location }) = response {
            part.protocol = protocol(version);
            part.status = Some(status);
            part.http_content_type = content_type.map(|value| without_parameters(&value));
            part.redirect = location.filter(|_| (300..400).contains(&status));
        }
        if let Some(Request { method, target, version, host, user_agent, referer, .. }) = request {
            (part.hostname, part.http_port) = host.map_or((None, None), host_and_port);
            part.url = Some(target);
            part.http_user_agent = user_agent;
            part.http_refer = referer;
            part.http_method = Some(method);
            part.protocol = protocol(version);
        }
        part
    }
}

fn protocol(version: u8) -> String {
    format!("HTTP/1.{version}")
}

fn without_parameters(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim_ascii().to_owned()
}

/// Takes the port off, which comes behind the bracket of an IPv6 address.
fn host_and_port(host: String) -> (Option<String>, Option<u16>) {
    let split = host.rsplit_once(':').filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    match split.map(|(name, port)| (name, port.parse::<u16>())) {
        Some((name, Ok(port))) => (Some(name.to_owned()), Some(port)),
        _ => (Some(host), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_told_from_its_port() {
        let cases = [
            ("www.example", ("www.example", None)),
            ("www.example:8080", ("www.example", Some(8080))),
            ("[::1]:80", ("[::1]", Some(80))),
            ("[::1]", ("[::1]", None)),
            ("::1", ("::1", None)),
            ("a:b", ("a:b", None)),
            ("", ("", None)),
        ];
        for (host, (name, port)) in cases {
            assert_eq!(host_and_port(host.to_owned()), (Some(name.to_owned()), port));
        }
    }
}
