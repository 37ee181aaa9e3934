/* lt_api: the table of functions for native code of others.
 *
 * lowthread/include/lowthread.h says what is in it and what its functions promise; here is
 * only where it is.
 */
#ifndef LT_API_H
#define LT_API_H

#include "lowthread.h"

const lt_api *lt_get_api(void);

#endif
