//! TokenReview and SubjectAccessReview at the API server.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use super::answers::Decision;
use crate::causes::distinct;
use crate::owner::ApiServer;

/// Path and verb of the right that a scraper needs.
const PATH: &str = "/metrics";
const VERB: &str = "get";

/// Asks the API server about tokens.
#[derive(Clone)]
pub struct Reviews {
    tokens: Api<TokenReview>,
    rights: Api<SubjectAccessReview>,
}

impl Reviews {
    /// Reviews by an API server.
    #[must_use]
    pub fn new(api: &ApiServer) -> Self {
        Self::of(api.client())
    }

    pub(super) fn of(client: &Client) -> Self {
        Self { tokens: Api::all(client.clone()), rights: Api::all(client.clone()) }
    }

    /// Whether the token may get metrics.
    ///
    /// # Errors
    /// A line with the failure and the remedy.
    pub(super) async fn decide(&self, token: &str) -> Result<Decision, String> {
        match self.user(token).await? {
            None => Ok(Decision::Unauthenticated),
            Some(user) => self.may_scrape(user).await,
        }
    }

    /// Checks that the API server answers both reviews, with a token that nobody has.
    ///
    /// # Errors
    /// A line with the failure and the remedy.
    pub async fn check(&self) -> Result<(), String> {
        self.user("netns-agent-doctor").await?;
        let anonymous = UserInfo { username: Some("system:anonymous".to_owned()), ..UserInfo::default() };
        self.may_scrape(anonymous).await.map(drop)
    }

    /// The user of a valid token.
    async fn user(&self, token: &str) -> Result<Option<UserInfo>, String> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: None };
        let review = TokenReview { spec, ..TokenReview::default() };
        let answer = self.tokens.create(&PostParams::default(), &review).await;
        let status = answer.map_err(|error| explain("tokenreviews", &error))?.status.unwrap_or_default();
        Ok(status.user.filter(|_| status.authenticated == Some(true)))
    }

    async fn may_scrape(&self, user: UserInfo) -> Result<Decision, String> {
        let name = user.username.clone().unwrap_or_default();
        let right = NonResourceAttributes { path: Some(PATH.to_owned()), verb: Some(VERB.to_owned()) };
        let spec = SubjectAccessReviewSpec {
            user: user.username,
            uid: user.uid,
            groups: user.groups,
            extra: user.extra,
            non_resource_attributes: Some(right),
            resource_attributes: None,
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let answer = self.rights.create(&PostParams::default(), &review).await;
        let status = answer.map_err(|error| explain("subjectaccessreviews", &error))?.status.unwrap_or_default();
        let is_allowed = status.allowed && status.denied != Some(true);
        Ok(if is_allowed { Decision::Allowed } else { Decision::Forbidden { user: name } })
    }
}

/// A line with the failure and the remedy. The request, which holds the token, is never shown.
fn explain(resource: &str, error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => {
            format!(
                "the API server forbids {resource}: allow the agent's service account to create {resource} (ClusterRole)"
            )
        }
        kube::Error::Api(status) if status.code == 401 => {
            "the API server does not accept the agent's own token; see whether its service account still exists"
                .to_owned()
        }
        kube::Error::Api(status) => format!("the API server answers {} to {resource}", status.code),
        kube::Error::SerdeError(_) => {
            format!("the answer to {resource} is not a review; look for a proxy before the API server")
        }
        other => format!("cannot create {resource} at the API server: {}", distinct(other)),
    }
}
