//! Signing in with a wallet, and a person's own wallets.

use super::me::Me;
use super::sign_in::Attempt;
use crate::accounts::{WalletAccount, WalletAnswer, WalletPurpose};
use crate::app::views::time;
use crate::http::auth::{Actor, Caller, MaybePerson};
use crate::http::error::ApiError;
use crate::http::extract::{Json, Path};
use crate::http::state::HttpState;
use axum::extract::State;
use axum::response::{AppendHeaders, IntoResponse, Response};
use dgon_control_plane_model::identity::ChainKind;
use dgon_control_plane_store::wallets::Wallet;
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a chain's accounts are proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WalletKind {
    /// As Ethereum's.
    Evm,
    /// As Solana's.
    Solana,
    /// As those of the Cosmos SDK.
    Cosmos,
}

impl From<WalletKind> for ChainKind {
    fn from(kind: WalletKind) -> Self {
        match kind {
            WalletKind::Evm => Self::Evm,
            WalletKind::Solana => Self::Solana,
            WalletKind::Cosmos => Self::Cosmos,
        }
    }
}

/// What a signature is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoncePurpose {
    /// To sign in.
    SignIn,
    /// To link the wallet to the account that is signed in.
    Link,
}

/// The account that is to sign, and what for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NonceRequest {
    /// What the signature is for.
    pub purpose: NoncePurpose,
    /// How the account is proven.
    pub kind: WalletKind,
    /// The chain: a number (evm; 1 where absent), `mainnet`, `testnet`, `devnet` or `localnet` (solana; `mainnet`), or one of
    /// `cosmos_chains` (cosmos; the first).
    #[serde(default)]
    pub chain_id: Option<String>,
    /// The account.
    pub address: String,
}

/// What `signIn` of a Solana wallet takes, under the names of its standard. `dgon-control-plane-model` makes it.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
#[allow(dead_code, reason = "describes what the model serialises")]
pub struct SolanaSignIn {
    /// Who asks.
    pub domain: String,
    /// The account.
    pub address: String,
    /// What for.
    pub statement: String,
    /// Where.
    pub uri: String,
    /// `1`.
    pub version: String,
    /// The cluster.
    pub chain_id: String,
    /// Good once.
    pub nonce: String,
    /// Since when.
    pub issued_at: String,
    /// Until when.
    pub expiration_time: String,
}

/// What a wallet is to sign. Its nonce is good for this browser and one answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WalletRequestView {
    /// The text: for `personal_sign`, `signMessage` or `signArbitrary`.
    pub message: String,
    /// The account that is to sign, as it must be given to the wallet.
    pub address: String,
    /// The same for `signIn` of Solana wallets, which make the text of it; `null` for other kinds.
    #[schema(value_type = Option<SolanaSignIn>)]
    pub solana_input: Option<serde_json::Value>,
    /// Last moment of an answer.
    pub expires_at: String,
}

/// What the wallet answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WalletAnswerRequest {
    /// evm: `0x` and 130 hex digits; solana and cosmos: base64 of 64 bytes.
    pub signature: String,
    /// cosmos: base64 of the compressed key.
    #[serde(default)]
    pub public_key: Option<String>,
    /// The text that was signed, where the wallet made it.
    #[serde(default)]
    pub message: Option<String>,
}

/// A wallet of yours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct WalletView {
    /// How its accounts are proven: `evm`, `solana` or `cosmos`.
    pub kind: String,
    /// The account.
    pub address: String,
    /// Since when it is yours.
    pub linked_at: String,
}

/// Your wallets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Wallets {
    /// In the order in which they were linked.
    pub items: Vec<WalletView>,
}

impl From<Wallet> for WalletView {
    fn from(wallet: Wallet) -> Self {
        Self {
            kind: wallet.kind,
            address: wallet.address,
            linked_at: time(wallet.linked_at_ms),
        }
    }
}

impl WalletAnswerRequest {
    fn with_request(self, state: &HttpState, headers: &HeaderMap) -> WalletAnswer {
        let sealed = state.cookies.wallet(headers).unwrap_or_default();
        WalletAnswer {
            sealed: sealed.to_owned(),
            signature: self.signature,
            public_key: self.public_key,
            message: self.message,
        }
    }
}

/// What a wallet is to sign. The request is in a cookie, for this browser alone, for five minutes.
///
/// # Errors
/// `invalid_request` for an address or chain that is none, `unauthorized` to link without a session, `forbidden` to link more
/// than 15 minutes after signing in, `conflict` where this
/// server has no address that wallets could sign for.
#[utoipa::path(post, path = "/api/v1/auth/nonce", tag = "people", security((), ("session" = [])), request_body = NonceRequest,
    responses((status = 200, description = "What to sign.", body = WalletRequestView)))]
pub async fn auth_nonce(
    State(state): State<HttpState>,
    MaybePerson(person): MaybePerson,
    Json(body): Json<NonceRequest>,
) -> Result<Response, ApiError> {
    // Who signs in again may still have cookies of a session that has ended.
    let purpose = match body.purpose {
        NoncePurpose::SignIn => WalletPurpose::SignIn,
        NoncePurpose::Link => {
            let person = person.as_ref().ok_or_else(ApiError::unauthorized)?;
            // Said before anybody is asked to sign.
            state.accounts.must_be_fresh(person).await?;
            WalletPurpose::Link(person)
        }
    };
    let account = WalletAccount {
        kind: body.kind.into(),
        chain_id: body.chain_id.as_deref(),
        address: &body.address,
    };
    let made = state.accounts.wallet_request(purpose, account)?;
    let input = made.request.solana_input();
    let view = WalletRequestView {
        message: made.request.message(),
        address: made.request.account().to_string(),
        solana_input: input.and_then(|input| serde_json::to_value(input).ok()),
        expires_at: time(made.request.fields().expires_at_ms),
    };
    let cookie = state.cookies.set_wallet(&made.sealed, made.lifetime_s);
    Ok((AppendHeaders(cookie), axum::Json(view)).into_response())
}

/// Signs in with a wallet's answer to `POST /auth/nonce`.
///
/// # Errors
/// `invalid_signature` for what proves nothing or comes too late, `invalid_token` for a request that was used or is not this
/// browser's, `unauthorized`
/// for a wallet that is linked to no account, `second_factor_needed` for an account with one, `rate_limited`.
#[utoipa::path(post, path = "/api/v1/auth/wallet", tag = "people", security(()), request_body = WalletAnswerRequest,
    responses((status = 200, description = "Signed in; the session is in cookies.", body = Me)))]
pub async fn auth_wallet(
    State(state): State<HttpState>,
    headers: HeaderMap,
    caller: Caller,
    Json(body): Json<WalletAnswerRequest>,
) -> Result<Response, ApiError> {
    let attempt = Attempt::begin(&state, &headers, &caller)?;
    let answer = body.with_request(&state, &headers);
    let signed_in = state.accounts.wallet_sign_in(&answer, &caller.origin).await;
    let answer = attempt.finish(signed_in).await?;
    let spent = AppendHeaders(state.cookies.set_wallet("", 0));
    Ok((spent, answer).into_response())
}

/// Your wallets.
///
/// # Errors
/// `unauthorized`.
#[utoipa::path(get, path = "/api/v1/wallets", tag = "people",
    responses((status = 200, description = "Your wallets.", body = Wallets)))]
pub async fn wallet_list(
    State(state): State<HttpState>,
    actor: Actor,
) -> Result<axum::Json<Wallets>, ApiError> {
    let wallets = state.accounts.wallet_list(actor.person()?).await?;
    let items = wallets.into_iter().map(WalletView::from).collect();
    Ok(axum::Json(Wallets { items }))
}

/// Links a wallet to your account with its answer to `POST /auth/nonce`.
///
/// # Errors
/// `unauthorized`, `forbidden` more than 15 minutes after signing in, `invalid_signature`, `invalid_token`, `conflict` for a
/// wallet of another account or one too many.
#[utoipa::path(post, path = "/api/v1/wallets", tag = "people", request_body = WalletAnswerRequest,
    responses((status = 200, description = "Your wallets.", body = Wallets)))]
pub async fn wallet_link(
    State(state): State<HttpState>,
    actor: Actor,
    headers: HeaderMap,
    caller: Caller,
    Json(body): Json<WalletAnswerRequest>,
) -> Result<axum::Json<Wallets>, ApiError> {
    let person = actor.person()?;
    let answer = body.with_request(&state, &headers);
    let linked = state.accounts.wallet_link(person, &answer, &caller.origin);
    linked.await?;
    wallet_list(State(state), actor).await
}

/// Takes a wallet away from your account. Your other sign-ins by wallets end.
///
/// # Errors
/// `unauthorized`, `not_found`, `conflict` for all that you can sign in with.
#[utoipa::path(delete, path = "/api/v1/wallets/{kind}/{address}", tag = "people",
    params(("kind" = String, Path, description = "evm, solana or cosmos."),
        ("address" = String, Path, description = "The account, as it is listed.")),
    responses((status = 204, description = "It signs in no more.")))]
pub async fn wallet_unlink(
    State(state): State<HttpState>,
    actor: Actor,
    caller: Caller,
    Path((kind, address)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let (person, wallet) = (actor.person()?, (kind.as_str(), address.as_str()));
    let unlinked = state.accounts.wallet_unlink(person, wallet, &caller.origin);
    unlinked.await?;
    Ok(StatusCode::NO_CONTENT)
}
