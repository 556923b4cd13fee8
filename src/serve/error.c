/* SPDX-License-Identifier: Apache-2.0 */
/* The error table. */
#include "error.h"

static const struct serve_error table[SERVE_CODE__COUNT] = {
	[SERVE_OK] = {200, "", "", "", ""},
	[SERVE_NO_SUCH_KEY] = {400, "404", "not_found", "NoSuchKey", "Object not found"},
	[SERVE_NO_SUCH_BUCKET] = {400, "404", "Bucket not found", "NoSuchBucket",
		"Bucket not found"},
	[SERVE_NO_SUCH_RELATED] = {400, "404", "InvalidRequest", "InvalidRequest",
		"The related resource does not exist"},
	[SERVE_INVALID_REQUEST] = {400, "400", "Error", "InvalidRequest", "Invalid request"},
	[SERVE_INVALID_JSON] = {400, "400", "FastifyError", "InvalidRequest",
		"Body is not valid JSON but content-type is set to 'application/json'"},
	[SERVE_INVALID_KEY] = {400, "400", "InvalidKey", "InvalidKey", "Invalid key"},
	[SERVE_INVALID_BUCKET_NAME] = {400, "400", "Invalid Input", "InvalidBucketName",
		"Bucket name invalid"},
	[SERVE_INVALID_PARAMETER] = {400, "400", "InvalidParameter", "InvalidParameter",
		"Invalid Parameter"},
	[SERVE_INVALID_RANGE] = {416, "416", "invalid_range", "InvalidRange",
		"invalid range provided"},
	[SERVE_INVALID_MIME] = {400, "415", "invalid_mime_type", "InvalidMimeType",
		"mime type is not supported"},
	[SERVE_INVALID_JWT] = {400, "400", "InvalidJWT", "InvalidJWT", "Invalid Compact JWS"},
	[SERVE_INVALID_SIGNATURE] = {400, "400", "InvalidSignature", "InvalidSignature",
		"Invalid signature"},
	[SERVE_ACCESS_DENIED] = {400, "403", "Unauthorized", "AccessDenied", "Access denied"},
	[SERVE_ROLE_DENIED] = {403, "403", "Unauthorized", "AccessDenied",
		"Access denied: Invalid role"},
	[SERVE_KEY_EXISTS] = {400, "409", "Duplicate", "KeyAlreadyExists",
		"The resource already exists"},
	[SERVE_RESOURCE_EXISTS] = {400, "409", "Duplicate", "ResourceAlreadyExists",
		"The resource already exists"},
	[SERVE_BUCKET_EXISTS] = {400, "409", "Duplicate", "BucketAlreadyExists",
		"The resource already exists"},
	[SERVE_NOT_EMPTY] = {400, "409", "ResourceNotEmpty", "ResourceNotEmpty",
		"The bucket you tried to delete is not empty"},
	[SERVE_TOO_LARGE] = {400, "413", "Payload too large", "EntityTooLarge",
		"The object exceeded the maximum allowed size"},
	[SERVE_BODY_TOO_LARGE] = {413, "413", "FastifyError", "InvalidRequest",
		"Request body is too large"},
	[SERVE_BAD_ROLE] = {500, "500", "DatabaseError", "DatabaseError",
		"database error, code: 22023"},
	[SERVE_DATABASE] = {500, "500", "DatabaseError", "DatabaseError", "database error"},
	[SERVE_INTERNAL] = {500, "500", "Internal", "InternalError", "Internal Server Error"},
};

const struct serve_error *serve_error_get(enum serve_code code)
{
	return &table[code < SERVE_CODE__COUNT ? code : SERVE_INTERNAL];
}
