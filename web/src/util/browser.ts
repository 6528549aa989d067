// A short name for what a browser calls itself. It is a name to know it by and proves nothing: anybody can send any text.

type Named = readonly [mark: RegExp, name: string]

// In this order: most browsers name those whose pages they want to be served, and themselves after them.
const BROWSERS: readonly Named[] = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\b(?:OPR|OPiOS|OPT|Opera)\//, 'Opera'],
  [/\bVivaldi\//, 'Vivaldi'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|HeadlessChrome|Chromium|CriOS)\//, 'Chrome'],
  [/\bVersion\/\S+ .*\bSafari\//, 'Safari'],
  [/^curl\//, 'curl'],
]

// iPhones say that they are like Mac OS X, and Android that it is Linux.
const SYSTEMS: readonly Named[] = [
  [/\biPhone\b|\biPod\b/, 'iOS'],
  [/\biPad\b/, 'iPadOS'],
  [/\bAndroid\b/, 'Android'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bWindows\b/, 'Windows'],
  [/\bMac OS X\b|\bMacintosh\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
  [/\bFreeBSD\b/, 'FreeBSD'],
  [/\bOpenBSD\b/, 'OpenBSD'],
]

const find = (text: string, all: readonly Named[]) => all.find(([mark]) => mark.test(text))?.[1]

/** `Firefox on Linux`, from the text that a browser sends with each request. What the text does not tell is not guessed. */
export function browserName(userAgent: string | null | undefined): string {
  const text = userAgent ?? ''
  const browser = find(text, BROWSERS) ?? 'Unknown browser'
  const system = find(text, SYSTEMS)
  return system ? `${browser} on ${system}` : browser
}
