/* SHA-256 through libcrypto's EVP interface. */
#include "base/hash.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/mem.h"

struct hash {
	EVP_MD_CTX *ctx;
};

static int crypto_failed(void)
{
	return err_set(ERR_FAIL, "SHA-256: libcrypto refused");
}

/* Where libcrypto could not be set up for want of memory, version 3 uses a null pointer at its first digest. */
static bool is_usable(void)
{
#if OPENSSL_VERSION_NUMBER >= 0x30000000L
	return OSSL_LIB_CTX_get0_global_default() != NULL;
#else
	return true;
#endif
}

int hash_open(struct hash **out)
{
	*out = NULL;
	struct hash *h = mem_alloc(1, sizeof(*h));
	if (!h)
		return ERR_NOMEM;
	h->ctx = is_usable() ? EVP_MD_CTX_new() : NULL;
	if (!h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
		hash_close(h);
		return crypto_failed();
	}
	*out = h;
	return 0;
}

int hash_add(struct hash *h, const void *bytes, size_t n)
{
	return n == 0 || EVP_DigestUpdate(h->ctx, bytes, n) == 1 ? 0 : crypto_failed();
}

int hash_add_str(struct hash *h, const char *text)
{
	return hash_add(h, text, strlen(text) + 1);
}

int hash_hex(struct hash *h, char hex[HASH_HEX])
{
	static const char digit[] = "0123456789abcdef";
	unsigned char raw[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	hex[0] = '\0';
	if (EVP_DigestFinal_ex(h->ctx, raw, &n) != 1 || n != (HASH_HEX - 1) / 2)
		return crypto_failed();
	for (unsigned i = 0; i < n; i++) {
		hex[2 * i] = digit[raw[i] >> 4];
		hex[2 * i + 1] = digit[raw[i] & 15];
	}
	hex[HASH_HEX - 1] = '\0';
	return 0;
}

void hash_close(struct hash *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	mem_free(h);
}

bool hash_is_hex(const char *text)
{
	return text && strspn(text, "0123456789abcdef") == HASH_HEX - 1 && text[HASH_HEX - 1] == '\0';
}

int hash_bytes(const void *bytes, size_t n, char hex[HASH_HEX])
{
	struct hash *h;
	hex[0] = '\0';
	int rc = hash_open(&h);
	if (!rc)
		rc = hash_add(h, bytes, n);
	if (!rc)
		rc = hash_hex(h, hex);
	hash_close(h);
	return rc;
}

int hash_file(const char *path, char hex[HASH_HEX])
{
	unsigned char buffer[1 << 14];
	struct hash *h = NULL;
	int fd = -1;
	ssize_t n = 1;
	hex[0] = '\0';
	int rc = hash_open(&h);
	if (!rc)
		rc = fs_open_regular(path, &fd);
	while (!rc && n != 0) {
		n = read(fd, buffer, sizeof(buffer));
		if (n > 0)
			rc = hash_add(h, buffer, (size_t)n);
		else if (n < 0 && errno != EINTR)
			rc = err_set(ERR_IO, "%s: %s", path, strerror(errno));
	}
	if (!rc)
		rc = hash_hex(h, hex);
	if (fd >= 0)
		close(fd);
	hash_close(h);
	return rc;
}
