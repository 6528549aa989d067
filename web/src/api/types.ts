// The API's shapes under the names of this console. The generated file is the only source; tools/apigen writes it.
import type { PageNodeRow } from '~/api/__generated__/types.gen'

export type {
  ApiKeyCreated,
  ApiKeyRequest,
  ApiKeyScope,
  ApiKeyState,
  ApiKeyView as ApiKey,
  AssignedNodeView as AssignedNode,
  AssigneeView as Assignee,
  Assignees,
  AuditEntryView as AuditEntry,
  AuditPage,
  AuthState,
  DeleteRequest,
  DownloadList,
  EnrolmentToken,
  EnrolmentTokenCreated,
  ErrorBody,
  Export,
  GpuLoadView as GpuLoad,
  GpuView as GpuDetail,
  HeartbeatView as HeartbeatDetail,
  Identities,
  IdentityView as OwnIdentity,
  IssuerView as Issuer,
  Me,
  MembershipView as Membership,
  NodeAction,
  NodeActionRequest,
  NodeDetail,
  NodeRow,
  NodeStatus,
  OidcStartView as OidcStart,
  OidcWish,
  OrgView as Organisation,
  ReceiptAggregate,
  ReceiptDetail,
  ReceiptRow,
  RecoveryCodes,
  RegionLatency,
  Regions,
  RegisterRequest,
  Role,
  SecondFactorOffer,
  SecondFactorView as SecondFactor,
  Sessions,
  SessionsEnded,
  SessionView as OpenSession,
  SignInLink,
  Summary,
  Trends,
  UserView as User,
  NoncePurpose as WalletPurpose,
  WalletAnswerRequest as WalletAnswer,
  WalletKind,
  WalletRequestView as WalletRequest,
  Wallets,
  WalletView as OwnWallet,
} from '~/api/__generated__/types.gen'

/** A page of any list. */
export type Page<T> = Omit<PageNodeRow, 'items'> & { items: T[] }

export type Series = (number | null)[]

/** The statuses of a receipt that this console knows; a newer agent may send others. */
export type ReceiptStatus = 'ok' | 'error' | 'cancelled'
