/* SPDX-License-Identifier: MIT */
/*
 * FastCDC with normalised chunking, level 2: a gear hash over the last 64 bytes; up to the average size a cut needs two
 * more zero bits than log2 of the average, beyond it two fewer, so that most chunks come out near the average. The hash
 * is taken from its top bits: those are the ones that all 64 bytes reach.
 */
#include "chunker.h"
#include "limits.h"

#define AVG_BITS   16
#define LEVEL      2
#define WINDOW     64
#define TOP(bits)  (((UINT64_C(1) << (bits)) - 1) << (64 - (bits)))
#define MASK_BELOW TOP(AVG_BITS + LEVEL)
#define MASK_ABOVE TOP(AVG_BITS - LEVEL)

_Static_assert(CHUNK_AVG == 1u << AVG_BITS, "the masks belong to the average");
_Static_assert(CHUNK_MIN >= WINDOW, "the first window lies inside the chunk");

/* Entry i: the first 8 bytes, little-endian, of the SHA-256 of "cairn gear 1 i" (i in decimal). Part of the format. */
static const uint64_t gear[256] = {
    0x2407db5bb26633e5ull, 0xe4c8aaf13bea8486ull, 0xcfce176557dc31bdull, 0x57760ca53170581cull, 0x98596484b7d29f2eull,
    0x4cfb534c16ca1993ull, 0x50c0a970af61d811ull, 0xe3bdf327aa9aabcfull, 0x5fcd41e18d5a8970ull, 0xbbe9b07bcb9827d3ull,
    0x1fcd3ff298f21adbull, 0x4b2f25b155a37e96ull, 0x5e1bf9ede0b9bf99ull, 0x7142ac812f9f178bull, 0x696afea29a350d1full,
    0x4c314b308ba92ea7ull, 0x98fa347d15a8be74ull, 0x2e11ffb244158342ull, 0xe9ddd1ef120b1ecaull, 0xb6df532b6fd0f53cull,
    0xf81aa2f153418739ull, 0x6e0a52214a4b6cd3ull, 0x32e10db5b9f8af91ull, 0x9f9b00ccd49c1ebeull, 0x81d2c4cc56bff700ull,
    0x94d5ca64b92132e7ull, 0x2572550ef6fb699bull, 0x8401416a7c070c95ull, 0x4fe1f4188df0d186ull, 0xa30bed55dd99716eull,
    0x6da7d0aefd6724a4ull, 0x5594be2eee0015a2ull, 0x635370905f443191ull, 0xef2ac51945ae2c68ull, 0x55a9a94ee48da9f5ull,
    0xcf3e77b07adaf020ull, 0x3d4aa1ec24b80527ull, 0x0cc52221a5c2fb86ull, 0x80e2f8c1cb86cce7ull, 0x1049ad62a6cf0d40ull,
    0x8b618cd9d2291872ull, 0x349ff3b34bf3d28aull, 0xa13a2fe1a3cc5c3dull, 0x4e384c11375deda7ull, 0x124319d2700a112bull,
    0x6f0a3abc5a5012c3ull, 0x25378172ba2f9070ull, 0x9bebe94dc7082c26ull, 0xda9fa59f1fb38635ull, 0xe7241a1c2a868abaull,
    0x97026b8c09c77eb9ull, 0x15d8beb02ed84deaull, 0x011149f2effc376aull, 0x383fcbd818ceb16eull, 0xf6bac62450aa4042ull,
    0x15265aaa4c1f27d8ull, 0xae8cd7645b52096aull, 0x910c7167596329faull, 0xb9668904e3f94479ull, 0x67f0df1e0f1b6bd7ull,
    0x63b0aa9e82bc952aull, 0x2801f509e99db070ull, 0x6a9b3341fc73d851ull, 0x023256830fc8633eull, 0xfb04197da3030a89ull,
    0xed1d472b4684694cull, 0x6c2ba9e995a63883ull, 0x527c34a61af4cceaull, 0x118628030ab102d0ull, 0x1c6272002ac65411ull,
    0xa81479e6f1b0035dull, 0xfb92e4979dd76912ull, 0xf99eeacc57707c53ull, 0xf0130952d2584336ull, 0x4006e7e3c3276ed3ull,
    0x3749eb319037c778ull, 0x1c320089debf1507ull, 0xf4f8379f79a31794ull, 0xbefbd53730089f39ull, 0x2d03be2ffd55fc7full,
    0x3c70b2e04e6455e5ull, 0xce4a6e9ced552955ull, 0x4f0c5e1bdef8837bull, 0x7c3cdd1920af40cbull, 0x9dff34410d9ff982ull,
    0x2055d27e22cb8d8full, 0xa058e582e377a1f8ull, 0x31c45be2255bdc22ull, 0xe9e6af4bc251df26ull, 0x936a9cdfc395850full,
    0x6ad3032ad64675f3ull, 0xdc2ac2ccd67b4546ull, 0x804f17c63d514122ull, 0x53442a67ce337126ull, 0x33c236a21b45d044ull,
    0x2da6af02e78ea3beull, 0xd9b58fdd60e0cd54ull, 0x37542847a2462f34ull, 0x521be38fa88893f1ull, 0xc401587a5d86775aull,
    0xcec317892287933bull, 0xad78abab5605ca48ull, 0x6266f426cfc8929bull, 0x41486d5b6c4c9b60ull, 0x1b1cf6fe029091f4ull,
    0xa46775ed0a06e8b8ull, 0x64a1cc76c7d9d880ull, 0xb01e719019c6e4ccull, 0x6113399130549144ull, 0x73182da1187cd3d7ull,
    0x2452c85dd3d83bccull, 0xd693d3c24896fa0dull, 0x907740a07e327baeull, 0x0d22ed10b8ead918ull, 0x9198786e5161d986ull,
    0xcba1f718d0bfc740ull, 0xb86f85fceaf21ec9ull, 0x89c656141bd860f1ull, 0xeb35623c10fb2630ull, 0xff7227ce2f1c30d1ull,
    0x811b11bd71829699ull, 0x12222e3f32d72666ull, 0xb3d567d63d9b5ba0ull, 0x3c7eba19954c7346ull, 0x158c4b2264e1f81eull,
    0x93135f6546975154ull, 0x48208bc374dac834ull, 0x2980e364769b6711ull, 0x5c06cf0831ebfd69ull, 0x9d7c184e87ff6995ull,
    0x5b01e7b7be5a27c0ull, 0x53d5ebd1db6e380cull, 0x87eee1885b440da7ull, 0x8e34a5d1abaceddcull, 0x2a22951f5ec5253eull,
    0x74688486b966e7c6ull, 0x9bb4ff65ae294595ull, 0x70fec07bee24afa4ull, 0xb60b014f1da9f96dull, 0xe411f59c5ea20b80ull,
    0x31c13b2276c5a4acull, 0x7d0ea5a4b877b08cull, 0x8e7c0d6079895c12ull, 0xf4106c6e424c81b6ull, 0x72e11538759cb36full,
    0xcb0d9bc5cae86058ull, 0x959fe5767b77ffc6ull, 0x1925d9b6f3120dcaull, 0x9140814a29ef6c2aull, 0xb4fd90f29ad89b6full,
    0x43c117951710792full, 0x6b0b1b362036f78full, 0xd3c3ec8ef5a2fcaeull, 0x892d2ec1c83c5eecull, 0xe3c07c5777af7baaull,
    0xc6e32ba5ed67b4e9ull, 0x83d9c07c8d7c6badull, 0xd3cca3e98697dd78ull, 0xb8e2ddba9ceaf4e8ull, 0x8d96803904ba1c22ull,
    0x63cebeb68ece27ceull, 0xc6354f68ea294b58ull, 0x90bd6d05729030fdull, 0xd7a785acdc665814ull, 0xe0638bdc6bcddc3aull,
    0x98dbb8b1aeab8695ull, 0x868a98a798755446ull, 0x5c24996bc39b5f4full, 0x3a98b7b60dc574e8ull, 0xed5c5b35ea5a5343ull,
    0x127e2ee2027af2ceull, 0x2b68142463bfa879ull, 0x1460f94598e3b102ull, 0xffe9ebc652c6a6a0ull, 0x85982b772c3aa9aaull,
    0x4336f6e92b0c620eull, 0x14f96623df1c840dull, 0x1f2f62fdc04f8f86ull, 0x564ce11a98b25e8aull, 0xedec59caa59402f7ull,
    0x540268370b68d1f0ull, 0x4d5b91868ea6b8b9ull, 0x0a819ec801683676ull, 0xba7090ca607138a6ull, 0xb7a979bbfcbabe28ull,
    0xf2018949cbde9f25ull, 0x86dc2507a2ffd295ull, 0x464c51f25741731cull, 0x0e7946432bed6b8eull, 0x81f4ccd2f6fa9099ull,
    0x01c06d2fd5eff76eull, 0x322f050c82de805cull, 0x4dde469d239a583full, 0x33b8a43d5f44b317ull, 0xe7dac17cf2d33faeull,
    0xac8815922de83d63ull, 0xd6445281a4bcf09bull, 0xd80993b65be977feull, 0xc5c7b2855c2cb5bfull, 0x3a37b1720ade1e70ull,
    0x1635573db78c51bcull, 0xd6c12c1779419c76ull, 0x9798497b6446aacaull, 0x6368fe6b4f70b1b0ull, 0xaea502718d71819aull,
    0x3a4362aa787ca263ull, 0xa9f6a7ba777f9fb9ull, 0x8db63651abcf9f9dull, 0x4a45d747e5d2e7e3ull, 0x689ac8a17011b0c9ull,
    0xa7c48413e0010933ull, 0x6bd3d36448e6c016ull, 0x4cee5d8aacf7f0b5ull, 0x6d8cecf511dfbd38ull, 0x2c9636b4ee51c2b1ull,
    0x62cb62f6ff52ac68ull, 0x173520b5fda50534ull, 0x230b51ff2af22656ull, 0x14bcde35b0031f60ull, 0x68b650927b3bcd88ull,
    0xa1fa715501f5bc77ull, 0xb8fb771731d90317ull, 0x2506c928416ccdb5ull, 0x75111bd28e826bd6ull, 0x8fc6b23b576e40e2ull,
    0xdd2353f432b5478dull, 0xea88e29c3b700faeull, 0x8ec7b1bbbe117db1ull, 0x863c4512d4465e3dull, 0x2a5604f5bc9ca973ull,
    0x3d9812f3f02cae8aull, 0x851cbcdb93fca08bull, 0x6ea4164b2de48fe5ull, 0xfb0d534b52ab50fdull, 0x6e4ec885bda0f4b8ull,
    0xe959d987378bddf4ull, 0x7c1eb09c7495db8cull, 0x7695dbd52183c250ull, 0x2d436fb8662309aaull, 0x9fe66c1c168a5c78ull,
    0x587b61b65cb74988ull, 0x94a0592b9c78ae5cull, 0xa85bbe3371c3c87dull, 0xde6cac25492bb46bull, 0x49dbfa2bb48a19deull,
    0xde93b4ea79cf1df1ull, 0x91862e49fb1693a3ull, 0xbc1dae5eae77d393ull, 0xe054fdf6a10f7334ull, 0x11a3cebba8c21499ull,
    0x3e6a3b6464b0f0acull, 0x6016591d16be02d5ull, 0x34848a034e1f81f0ull, 0xadb1dc0ffd8a7dafull, 0xb21c559ec3b192f6ull,
    0x56df0dbb394d46b3ull,
};

/* First position in [from, to) behind whose byte a cut is due; to when there is none. */
static size_t scan(const uint8_t *p, size_t from, size_t to, uint64_t mask, uint64_t *hash)
{
    uint64_t h = *hash;
    for (size_t i = from; i < to; i++) {
        h = (h << 1) + gear[p[i]];
        if (!(h & mask)) {
            *hash = h;
            return i;
        }
    }
    *hash = h;
    return to;
}

size_t chunker_cut(const uint8_t *p, size_t n)
{
    if (n <= CHUNK_MIN)
        return n;
    size_t end = n < CHUNK_MAX ? n : CHUNK_MAX;
    size_t middle = end < CHUNK_AVG ? end : CHUNK_AVG;
    uint64_t h = 0;
    for (size_t i = CHUNK_MIN - WINDOW; i < CHUNK_MIN; i++)
        h = (h << 1) + gear[p[i]];
    size_t at = scan(p, CHUNK_MIN, middle, MASK_BELOW, &h);
    if (at < middle)
        return at + 1;
    at = scan(p, middle, end, MASK_ABOVE, &h);
    return at < end ? at + 1 : end;
}
