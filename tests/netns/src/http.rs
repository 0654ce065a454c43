use std::fmt::Display;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};

use crate::program::LIMIT;

/// GET over plain HTTP: the status line and the body.
#[track_caller]
pub fn get(address: impl ToSocketAddrs + Display, path: &str) -> (String, String) {
    let answer = ask(&address, path).unwrap_or_else(|e| panic!("no answer from http://{address}{path}: {e}"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head and body: {answer}"));
    (head.lines().next().unwrap_or_default().to_owned(), body.to_owned())
}

fn ask(address: &(impl ToSocketAddrs + Display), path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
