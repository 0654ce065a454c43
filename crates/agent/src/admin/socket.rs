//! The admin server on a Unix socket, for programs on the node that use no port.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// A Unix socket to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// Path of the socket, in a directory that exists.
    pub path: PathBuf,
    /// Permissions of the socket: whoever may write can connect.
    pub mode: u32,
    /// Group of the socket; `None`: the group of the process.
    pub group: Option<u32>,
}

/// A listening socket, whose file is removed when dropped.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    /// Device and inode of the file, so that the file of a successor stays.
    file: (u64, u64),
}

/// A socket that cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A program listens there.
    #[error("another program listens on {}; end that program, or choose another --admin-socket", path.display())]
    InUse {
        /// Path of the socket.
        path: PathBuf,
    },
    /// The path leads to a file that is not a socket.
    #[error("{} is not a socket; remove the file, or choose another --admin-socket", path.display())]
    NotASocket {
        /// Path of the file.
        path: PathBuf,
    },
    /// The kernel refused to make the socket.
    #[error("cannot listen on {}; its directory must exist and be writable", path.display())]
    Refused {
        /// Path of the socket.
        path: PathBuf,
        /// Error of the kernel.
        source: io::Error,
    },
    /// The group cannot be set.
    #[error("cannot give {} to the group {group}; run the agent as a member of that group", path.display())]
    Group {
        /// Path of the socket.
        path: PathBuf,
        /// Number of the group.
        group: u32,
        /// Error of the kernel.
        source: io::Error,
    },
}

impl Socket {
    /// Listens on the socket; a socket that nobody listens on is replaced. Needs a runtime.
    ///
    /// The socket gets its name with its permissions set, so nobody can connect before.
    ///
    /// # Errors
    /// When the path is in use, or the kernel refuses.
    pub fn bind(options: &SocketOptions) -> Result<Self, SocketError> {
        let path = &options.path;
        make_way(path)?;
        let refused = |source| SocketError::Refused { path: path.clone(), source };
        let unnamed = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&unnamed);
        let listener = UnixListener::bind(&unnamed).map_err(refused)?;
        let named = name(&unnamed, options);
        if named.is_err() {
            let _ = fs::remove_file(&unnamed);
        }
        Ok(Self { listener, path: path.clone(), file: named? })
    }

    pub(super) async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

/// Checks that a socket may take the path.
fn make_way(path: &Path) -> Result<(), SocketError> {
    match fs::symlink_metadata(path) {
        Ok(file) if !file.file_type().is_socket() => Err(SocketError::NotASocket { path: path.to_owned() }),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
            Err(SocketError::InUse { path: path.to_owned() })
        }
        _ => Ok(()),
    }
}

/// Sets permissions and group, then the name.
fn name(unnamed: &Path, options: &SocketOptions) -> Result<(u64, u64), SocketError> {
    let SocketOptions { path, mode, group } = options;
    let refused = |source| SocketError::Refused { path: path.clone(), source };
    fs::set_permissions(unnamed, Permissions::from_mode(*mode)).map_err(refused)?;
    if let Some(group) = *group {
        std::os::unix::fs::chown(unnamed, None, Some(group)).map_err(|source| SocketError::Group {
            path: path.clone(),
            group,
            source,
        })?;
    }
    let file = fs::symlink_metadata(unnamed).map_err(refused)?;
    fs::rename(unnamed, path).map_err(refused)?;
    Ok(identity(&file))
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}

impl Drop for Socket {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|file| identity(&file) == self.file) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::time::timeout;

    use super::*;
    use crate::admin::tests::handles;
    use crate::admin::{router, serve};

    fn options(folder: &tempfile::TempDir, mode: u32) -> SocketOptions {
        let group = Some(nix::unistd::getegid().as_raw());
        SocketOptions { path: folder.path().join("admin.sock"), mode, group }
    }

    #[tokio::test]
    async fn socket_answers_with_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder, 0o620);
        let socket = Socket::bind(&options).unwrap();
        assert_eq!(fs::metadata(&options.path).unwrap().permissions().mode() & 0o777, 0o620);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let server = serve(socket, None, router(handles()), std::future::pending());
        let exchange = async {
            let mut stream = UnixStream::connect(&options.path).await.unwrap();
            // No browser reaches the socket, so any name of a host will do.
            let request = b"GET /v1/interfaces HTTP/1.1\r\nhost: node.example\r\nconnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        tokio::select! {
            answer = timeout(Duration::from_secs(20), exchange) => assert!(answer.unwrap().contains("\"tun0\"")),
            ended = server => panic!("the server ended: {ended:?}"),
        }
    }

    #[tokio::test]
    async fn left_socket_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder, 0o600);
        drop(std::os::unix::net::UnixListener::bind(&options.path).unwrap());
        let socket = Socket::bind(&options).unwrap();
        let again = Socket::bind(&options).unwrap_err();
        assert!(matches!(again, SocketError::InUse { .. }), "{again}");
        drop(socket);
        assert!(!options.path.exists(), "the file is removed");
    }

    #[tokio::test]
    async fn other_files_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = options(&folder, 0o600);
        fs::write(&options.path, "precious").unwrap();
        assert!(matches!(Socket::bind(&options).unwrap_err(), SocketError::NotASocket { .. }));
        assert_eq!(fs::read_to_string(&options.path).unwrap(), "precious");
        options.path = folder.path().join("absent/admin.sock");
        assert!(matches!(Socket::bind(&options).unwrap_err(), SocketError::Refused { .. }));
    }

    /// A successor that has taken the name keeps the name when the first socket ends.
    #[tokio::test]
    async fn socket_of_a_successor_stays() {
        let folder = tempfile::tempdir().unwrap();
        let options = options(&folder, 0o600);
        let first = Socket::bind(&options).unwrap();
        fs::remove_file(&options.path).unwrap();
        let _second = Socket::bind(&options).unwrap();
        drop(first);
        assert!(options.path.exists());
    }
}
