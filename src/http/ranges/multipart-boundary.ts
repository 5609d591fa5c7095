/** One parameter of a media type: its name, then its value as a quoted string or up to the next semicolon. */
const PARAMETER = /;[ \t]*([^\s=;"]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"[ \t]*|([^;"]*))(?=;|$)/gy;
/** RFC 2046 section 5.1.1. */
const MAX_BOUNDARY = 70;

/**
 * The boundary that a `Content-Type` of `multipart/*` names.
 *
 * @returns undefined where it is no multipart type, or names none of 1 to 70 characters.
 * @see https://www.rfc-editor.org/rfc/rfc2046#section-5.1.1
 */
export function boundaryOf(contentType: string | undefined): string | undefined {
  if (contentType === undefined || !isMultipart(contentType)) return undefined;
  const parameters = contentType.indexOf(';');
  if (parameters === -1) return undefined;
  for (const [, name, quoted, plain] of contentType.slice(parameters).matchAll(PARAMETER)) {
    if (name?.toLowerCase() !== 'boundary') continue;
    // An unquoted value is taken as it stands: CloudFront sends `boundary=CloudFront:0123…`, which a strict parser refuses for its colon.
    const boundary = quoted === undefined ? (plain ?? '').trim() : quoted.replaceAll(/\\(.)/g, '$1');
    return boundary.length >= 1 && boundary.length <= MAX_BOUNDARY ? boundary : undefined;
  }
  return undefined;
}

export function isMultipart(contentType: string | undefined): boolean {
  return contentType !== undefined && /^\s*multipart\//i.test(contentType);
}
