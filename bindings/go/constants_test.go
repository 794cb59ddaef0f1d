package shmkit_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"shmkit"
	"shmkit/inspect"
)

// The Go names of the header's constants.
var constants = map[string]any{
	"SHMKIT_REGION_READ_ONLY":      shmkit.ReadOnly,
	"SHMKIT_REGION_PRIVATE":        shmkit.Private,
	"SHMKIT_REGION_REPLACE":        shmkit.Replace,
	"SHMKIT_REGION_PAST_END":       shmkit.PastEnd,
	"SHMKIT_REGION_OR_OPEN":        shmkit.OrOpen,
	"SHMKIT_REGION_POPULATE":       shmkit.Populate,
	"SHMKIT_REGION_LOCKED":         shmkit.Locked,
	"SHMKIT_REGION_NO_RESERVE":     shmkit.NoReserve,
	"SHMKIT_REGION_NO_FORK":        shmkit.NoFork,
	"SHMKIT_REGION_AUTO_REMOVE":    shmkit.AutoRemove,
	"SHMKIT_REGION_RISK_SHRINK":    shmkit.RiskShrink,
	"SHMKIT_REGION_RISK_REOPEN":    shmkit.RiskReopen,
	"SHMKIT_REGION_RISK_DISK":      shmkit.RiskDisk,
	"SHMKIT_REGION_GROWABLE":       shmkit.RiskDisk << 1, // GrowableTo gives it
	"SHMKIT_REGION_MIRROR":         shmkit.Mirror,
	"SHMKIT_REGION_HUGE_2M":        shmkit.Huge2M,
	"SHMKIT_REGION_HUGE_1G":        shmkit.Huge1G,
	"SHMKIT_REGION_HUGE_FALLBACK":  shmkit.HugeFallback,
	"SHMKIT_REGION_NO_DUMP":        shmkit.NoDump,
	"SHMKIT_REGION_WIPE_ON_FORK":   shmkit.WipeOnFork,
	"SHMKIT_REGION_UNLINK_LAST":    shmkit.UnlinkLast,
	"SHMKIT_REGION_UNLINK_CREATOR": shmkit.UnlinkCreator,
	"SHMKIT_SEAL_SEAL":             shmkit.SealSeal,
	"SHMKIT_SEAL_SHRINK":           shmkit.SealShrink,
	"SHMKIT_SEAL_GROW":             shmkit.SealGrow,
	"SHMKIT_SEAL_WRITE":            shmkit.SealWrite,
	"SHMKIT_SEAL_FUTURE_WRITE":     shmkit.SealFutureWrite,
	"SHMKIT_SEAL_EXEC":             shmkit.SealExec,
	"SHMKIT_SEAL_NONE":             1 << 30, // Sealed(0) gives it
	"SHMKIT_KIND_MEMFD":            shmkit.Memfd,
	"SHMKIT_KIND_DESCRIPTOR":       shmkit.Descriptor,
	"SHMKIT_KIND_ANONYMOUS":        shmkit.Anonymous,
	"SHMKIT_KIND_FILE":             shmkit.File,
	"SHMKIT_KIND_POSIX":            shmkit.POSIX,
	"SHMKIT_KIND_SYSV":             shmkit.SysV,
	"SHMKIT_RIGHTS_NONE":           shmkit.NoAccess,
	"SHMKIT_RIGHTS_READ":           shmkit.Read,
	"SHMKIT_RIGHTS_WRITE":          2, // Holder.Writable tells it
	"SHMKIT_RIGHTS_READ_WRITE":     shmkit.ReadWrite,
	"SHMKIT_ADVICE_NORMAL":         shmkit.AdviceNormal,
	"SHMKIT_ADVICE_RANDOM":         shmkit.AdviceRandom,
	"SHMKIT_ADVICE_SEQUENTIAL":     shmkit.AdviceSequential,
	"SHMKIT_ADVICE_WILL_NEED":      shmkit.AdviceWillNeed,
	"SHMKIT_ADVICE_HUGE":           shmkit.AdviceHuge,
	"SHMKIT_ADVICE_NO_HUGE":        shmkit.AdviceNoHuge,
	"SHMKIT_ADVICE_COLLAPSE":       shmkit.AdviceCollapse,
	"SHMKIT_ADVICE_NO_DUMP":        shmkit.AdviceNoDump,
	"SHMKIT_ADVICE_DUMP":           shmkit.AdviceDump,
	"SHMKIT_PLACE_DEFAULT":         shmkit.PlaceDefault,
	"SHMKIT_PLACE_PREFERRED":       shmkit.PlacePreferred,
	"SHMKIT_PLACE_BIND":            shmkit.PlaceBind,
	"SHMKIT_PLACE_INTERLEAVE":      shmkit.PlaceInterleave,
	"SHMKIT_PARTY_ANY_THREAD":      1,    // Join gives it
	"SHMKIT_PARTY_CAN_SHRINK":      2,    // PartyRiskShrink gives it
	"SHMKIT_OWNER_DIED":            1,    // the repair function hears of it
	"SHMKIT_PARTY_CHANGED":         1,    // Go has no shm_party_wait
	"SHMKIT_EVENT_AUTO_RESET":      1,    // Party.Event gives it
	"SHMKIT_NAMED_FIND":            1,    // NamedFind gives it
	"SHMKIT_NAMED_ANY_OWNER":       2,    // NamedAnyOwner gives it
	"SHMKIT_NAMED_ANY_THREAD":      4,    // OpenMutex and the like give it
	"SHMKIT_BARRIER_SERIAL":        1,    // Barrier.Wait tells it
	"SHMKIT_SEMAPHORE_TRACKED":     1,    // Party.Semaphore gives it
	"SHMKIT_ONCE_RUN":              2,    // Once.Do does it
	"SHMKIT_SEM_OR_OPEN":           512,  // OrOpen gives it
	"SHMKIT_SEM_UNDO":              4096, // SysVOp.Undo gives it
	"SHMKIT_QUEUE_OR_OPEN":         512,  // OrOpen gives it
	"SHMKIT_QUEUE_AT_MOST":         1,    // SysVWant.AtMost gives it
	"SHMKIT_QUEUE_EXCEPT":          8192, // SysVWant.Except gives it
	"SHMKIT_QUEUE_TRUNCATE":        4096, // SysVWant.Truncate gives it
	"SHMKIT_FDS_MAX":               shmkit.FilesMax,
	"SHMKIT_SELECT_SEGMENTS":       inspect.Segments,
	"SHMKIT_SELECT_SEMAPHORES":     inspect.Semaphores,
	"SHMKIT_SELECT_QUEUES":         inspect.Queues,
	"SHMKIT_SELECT_POSIX":          inspect.POSIX,
	"SHMKIT_SELECT_MEMFDS":         inspect.Memfds,
	"SHMKIT_SELECT_ANONYMOUS":      inspect.Anonymous,
	"SHMKIT_SELECT_FILES":          inspect.Files,
	"SHMKIT_SELECT_DESCRIPTORS":    inspect.Descriptors,
	"SHMKIT_SELECT_MAPPINGS":       inspect.Mappings,
	"SHMKIT_SELECT_HOLDERS":        inspect.Holders,
	"SHMKIT_UNIT_BYTES":            inspect.Bytes,
	"SHMKIT_UNIT_PAGES":            inspect.Pages,
	"SHMKIT_UNIT_COUNT":            inspect.Count,
	"SHMKIT_UNIT_SETTING":          inspect.Setting,
	"SHMKIT_GAP_PERMISSION":        shmkit.GapPermission,
	"SHMKIT_GAP_HIDDEN":            shmkit.GapHidden,
	"SHMKIT_GAP_PID_NAMESPACE":     shmkit.GapPIDNamespace,
	"SHMKIT_GAP_UNREADABLE":        shmkit.GapUnreadable,
	"SHMKIT_GAP_MALFORMED":         shmkit.GapMalformed,
	"SHMKIT_GAP_ELSEWHERE":         shmkit.GapElsewhere,
	"SHMKIT_GAP_UNFOLLOWED":        shmkit.GapUnfollowed,
	"SHMKIT_REASON_NOT_ATTACHED":   inspect.NotAttached,
	"SHMKIT_REASON_NOT_OPEN":       inspect.NotOpen,
	"SHMKIT_REASON_NO_HOLDER_SEEN": inspect.NoHolderSeen,
	"SHMKIT_REASON_CREATOR_GONE":   inspect.CreatorGone,
	"SHMKIT_REASON_ABANDONED":      inspect.Abandoned,
	"SHMKIT_KIND_SEMAPHORES":       inspect.SemaphoreSet,
	"SHMKIT_KIND_QUEUE":            inspect.MessageQueue,
	"SHMKIT_KIND_NAMED_SEMAPHORE":  inspect.NamedSemaphore,
	"SHMKIT_E_SHRUNK":              shmkit.ErrShrunk,
	"SHMKIT_E_NOT_REGION":          shmkit.ErrNotRegion,
	"SHMKIT_E_VERSION":             shmkit.ErrVersion,
	"SHMKIT_E_UNSEALED":            shmkit.ErrUnsealed,
	"SHMKIT_E_UNENFORCEABLE":       shmkit.ErrUnenforceable,
	"SHMKIT_E_COLLISION":           shmkit.ErrCollision,
	"SHMKIT_E_ON_DISK":             shmkit.ErrOnDisk,
	"SHMKIT_E_UNGUARDED":           shmkit.ErrUnguarded,
	"SHMKIT_E_PEER_DIED":           shmkit.ErrPeerDied,
}

// Every constant of the header has its Go name and the same number; codes have their names and texts.
func TestConstants(t *testing.T) {
	header, err := os.ReadFile("../../include/shmkit.h")
	if err != nil {
		t.Fatal(err)
	}
	defines := regexp.MustCompile(`(?m)^#define (SHMKIT_[A-Z0-9_]+) (-?\d+)$`).FindAllStringSubmatch(string(header), -1)
	if len(defines) < 60 {
		t.Fatalf("only %d constants found in the header", len(defines))
	}
	for _, define := range defines {
		name, value := define[1], define[2]
		if strings.HasPrefix(name, "SHMKIT_VERSION_") {
			continue
		}
		constant, known := constants[name]
		if !known {
			t.Errorf("%s has no name in Go", name)
			continue
		}
		if got := fmt.Sprintf("%d", constant); got != value {
			t.Errorf("%s is %s in C and %s in Go", name, value, got)
		}
		if code, ok := constant.(shmkit.Code); ok {
			if code.Name() != name {
				t.Errorf("%s has the name %s", name, code.Name())
			}
			if text := code.Error(); text == "" || strings.Contains(text, "nknown") {
				t.Errorf("%s has the text %q", name, text)
			}
		}
	}
}
