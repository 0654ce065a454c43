use super::super::tests::{get, with_server};

const FILES: [&str; 5] = ["/", "/ui/app.js", "/ui/app.css", "/ui/icon.svg", "/ui/licenses.txt"];

/// Each link of the page leads to a route, and everything the page needs comes from the server itself.
#[tokio::test]
async fn page_links_to_routes() {
    with_server(async |address| {
        let (status, headers, body) = get(address, "/", &[]).await;
        assert_eq!((status, &headers["content-type"]), (200, &"text/html; charset=utf-8".parse().unwrap()));
        let page = String::from_utf8(body).unwrap();
        let links = |attribute: &str| {
            let start = format!("{attribute}=\"");
            let rest = page.split(&start).skip(1);
            rest.filter_map(|rest| rest.split('"').next().map(str::to_owned)).collect::<Vec<_>>()
        };
        let links = [links("href"), links("src")].concat();
        assert!(links.len() >= 6, "{links:?}");
        for link in links {
            assert!(link.starts_with('/'), "{link}");
            assert_ne!(get(address, &link, &[]).await.0, 404, "{link}");
        }
    })
    .await;
}

/// A name that a pod chose can neither run as a script nor load anything from elsewhere.
#[tokio::test]
async fn page_allows_own_files_only() {
    with_server(async |address| {
        for path in FILES {
            let (_, headers, body) = get(address, path, &[]).await;
            let policy = headers["content-security-policy"].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert_eq!(headers["x-content-type-options"], "nosniff");
            assert!(path != "/" || !String::from_utf8(body).unwrap().contains("<style"));
        }
    })
    .await;
}

#[tokio::test]
async fn page_is_small_when_compressed() {
    with_server(async |address| {
        let mut bytes = 0;
        for path in FILES {
            let (_, headers, body) = get(address, path, &[("accept-encoding", "gzip")]).await;
            assert_eq!(headers["content-encoding"], "gzip");
            bytes += body.len();
        }
        assert!(bytes < 300 * 1024, "{bytes} bytes");
    })
    .await;
}
