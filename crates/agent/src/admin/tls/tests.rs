use std::process::Command;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use super::*;
use crate::admin::{metrics_router, serve, tests::handles};

/// Certificates of an authority `ca`, of a server at 127.0.0.1 and of a client, made by openssl.
fn authority() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let new_key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    openssl(&folder, &format!("req -x509 {new_key} -subj /CN=ca -keyout ca.key -out ca.pem"));
    issue(&folder, "server", "subjectAltName=IP:127.0.0.1");
    issue(&folder, "client", "extendedKeyUsage=clientAuth");
    folder
}

fn issue(folder: &TempDir, name: &str, extension: &str) {
    openssl(
        folder,
        &format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} -CA ca.pem -CAkey ca.key \
             -addext {extension} -addext basicConstraints=critical,CA:FALSE -keyout {name}.key -out {name}.pem"
        ),
    );
}

fn openssl(folder: &TempDir, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split_whitespace()).current_dir(folder.path()).output();
    let output = output.expect("openssl runs: tests/tools.sh installs it");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn files(folder: &TempDir, client_ca: bool) -> ServerFiles {
    let path = |name: &str| folder.path().join(name);
    ServerFiles {
        certificate: path("server.pem"),
        key: path("server.key"),
        client_ca: client_ca.then(|| path("ca.pem")),
    }
}

/// The answer to a scrape, or the reason why none came.
async fn scrape(folder: &TempDir, files: ServerFiles, with_certificate: bool) -> Result<String, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = serve(listener, Some(Tls::new(files).unwrap()), metrics_router(handles()), std::future::pending());
    let path = |name: &str| folder.path().join(name);
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots(&path("ca.pem")).unwrap());
    let config = if with_certificate {
        let key = private_key(&path("client.key")).unwrap();
        builder.with_client_auth_cert(certificates(&path("client.pem")).unwrap(), key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let client = async {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let client = tokio::time::timeout(Duration::from_secs(60), client);
    tokio::select! {
        answer = client => answer.expect("an answer in time"),
        ended = server => panic!("the server ended: {ended:?}"),
    }
}

#[tokio::test]
async fn scrapes_over_tls() {
    let folder = authority();
    let answer = scrape(&folder, files(&folder, false), false).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn clients_need_certificates_of_authority() {
    let folder = authority();
    assert!(scrape(&folder, files(&folder, true), false).await.is_err());
    assert!(scrape(&folder, files(&folder, true), true).await.unwrap().starts_with("HTTP/1.1 200"));
}

/// A renewed certificate takes effect without a restart; half of a renewal, with a key that does not fit, changes nothing.
#[test]
fn renewed_certificate_is_reloaded() {
    let folder = authority();
    let mut tls = Tls::new(files(&folder, false)).unwrap();
    let first = tls.config();
    tls.reload();
    assert!(Arc::ptr_eq(&first, &tls.config()), "nothing has changed");
    issue(&folder, "other", "subjectAltName=IP:127.0.0.1");
    let replace = |from: &str, to: &str| std::fs::copy(folder.path().join(from), folder.path().join(to)).unwrap();
    replace("other.pem", "server.pem");
    tls.reload();
    assert!(Arc::ptr_eq(&first, &tls.config()), "certificate and key do not fit");
    replace("other.key", "server.key");
    tls.reload();
    assert!(!Arc::ptr_eq(&first, &tls.config()));
}

/// The whole configuration of the server, not the algorithms alone.
#[test]
fn fips_feature_reaches_the_server() {
    let folder = authority();
    assert_eq!(Tls::new(files(&folder, true)).unwrap().config().fips(), cfg!(feature = "fips"));
}

#[test]
fn missing_file_is_named() {
    let folder = authority();
    let missing = ServerFiles { key: folder.path().join("no.key"), ..files(&folder, false) };
    assert!(chain(&Tls::new(missing).unwrap_err()).contains("no.key"));
}
